"""Conversations to fine-tune on, each reply of which a program can check.

=================================================  ============================================
file                                               what is in it
=================================================  ============================================
:mod:`llmlib.data.conversations.conversation`      a conversation; what is wrong with a reply
:mod:`llmlib.data.conversations.about_stories`     writing stories, answering, refusing
:mod:`llmlib.data.conversations.about_facts`       sums, passages, tools
:mod:`llmlib.data.conversations.draw`              drawing conversations of any kind
:mod:`llmlib.data.conversations.audit`             is a whole conversation as it should be?
=================================================  ============================================
"""

from .audit import conversation_errors
from .conversation import NOT_KNOWN, REFUSED, Conversation, Turn, reply_errors
from .draw import KINDS, ConversationMixture, draw_conversations

__all__ = [
    "KINDS",
    "NOT_KNOWN",
    "REFUSED",
    "Conversation",
    "ConversationMixture",
    "Turn",
    "conversation_errors",
    "draw_conversations",
    "reply_errors",
]
