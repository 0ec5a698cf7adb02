"""Text as data: words and their numbers, counting models, word vectors, compression."""
