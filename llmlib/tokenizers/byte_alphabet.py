"""Bytes written as text: how a byte-level vocabulary is stored in a JSON file.

JSON holds characters, not bytes. GPT-2 writes each byte as one visible character: bytes that are
visible in Latin-1 as themselves, the 68 others as U+0100, U+0101, ... in order. A space becomes
``Ġ``, a line end ``Ċ``.

Reference: Radford et al. (2019), the released ``encoder.py``.
"""

import functools


@functools.cache
def byte_to_unicode() -> tuple[str, ...]:
    """The 256 printable characters that stand for the 256 bytes in a ``tokenizer.json`` file.

    Returns
    -------
    tuple of str
        Entry ``b`` is the character for byte ``b``.

    Examples
    --------
    >>> table = byte_to_unicode()
    >>> table[ord("A")], table[ord(" ")], table[ord("\\n")]
    ('A', 'Ġ', 'Ċ')
    >>> "".join(table[byte] for byte in " 你".encode())
    'Ġä½ł'
    """
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in visible else next(hidden)) for byte in range(256))


def bytes_to_text(token: bytes) -> str:
    """Write the bytes of a token with the characters of `byte_to_unicode`.

    Examples
    --------
    >>> bytes_to_text(b" the")
    'Ġthe'
    """
    table = byte_to_unicode()
    return "".join([table[byte] for byte in token])


def text_to_bytes(token: str) -> bytes:
    """Read a token written by `bytes_to_text`; refuse any character outside the table.

    Examples
    --------
    >>> text_to_bytes("Ġthe")
    b' the'
    """
    table = _unicode_to_byte()
    try:
        return bytes([table[char] for char in token])
    except KeyError as error:
        raise ValueError(
            f"token {token!r} contains {error.args[0]!r}, which stands for no byte: a byte-level "
            "vocabulary is written with the 256 characters of byte_to_unicode()"
        ) from None


@functools.cache
def _unicode_to_byte() -> dict[str, int]:
    return {char: byte for byte, char in enumerate(byte_to_unicode())}
