"""Floor 5: exercises that check themselves.

A chapter calls ``check("part.exercise", answer)`` and reads how much is right, the first
difference, and a hint. The answer is compared with a reference on random inputs, so that no
single lucky number passes.

**Declaring an exercise.** The exercises of a part stand in ``llmlib/checks/<part>.py``, in the
tuple ``EXERCISES``; a new part is added to ``PARTS`` in :mod:`llmlib.checks.registry`. An
exercise is a reference, a way to draw inputs, a hint, and the wrong answers that learners give::

    def scaled_scores(query, key):
        return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5

    Exercise(
        name="attention.scaled_scores",
        reference=scaled_scores,
        inputs=lambda g: (draw.normal(g, 2, 3, 8), draw.normal(g, 2, 5, 8)),
        hint="One dot product per pair, divided by the square root of the key width.",
        wrong={
            "unscaled": Wrong(
                lambda query, key: query @ key.transpose(-2, -1),
                "These are the bare dot products: divide them by √d_k.",
            ),
        },
    )

Of ``inputs``, ``g`` is a seeded ``torch.Generator``; :mod:`llmlib.checks.draw` has the usual
draws. An answer that agrees with a wrong answer on every case is told that answer's message.
Where the answer is a number and not a function, ``reference`` is that number, ``inputs`` is left
out, and wrong answers are numbers too. Where it is a module or a class, ``run`` says how to get
an output from it: ``run=lambda answer, x: answer(8, 2)(x).shape``.

A question with fixed choices is a :class:`Choice`: the right label, and a sentence for every
label that says why it is right or wrong.

The tests of the book check every declared exercise: the reference passes, the untouched stub
and each wrong answer fail, each wrong answer with its own message.

==============================  ===========================================================
file                            what is in it
==============================  ===========================================================
:mod:`llmlib.checks.exercise`   ``Exercise``, ``Wrong``, ``Choice``, and how they are judged
:mod:`llmlib.checks.compare`    where two outputs differ first
:mod:`llmlib.checks.draw`       random inputs
:mod:`llmlib.checks.registry`   ``check``, and finding an exercise by name
==============================  ===========================================================
"""

from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.checks.registry import all_exercises, check

__all__ = ["Choice", "Exercise", "Wrong", "all_exercises", "check"]
