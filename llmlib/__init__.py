"""The library that the book *From Vectors to Agents* builds, chapter by chapter."""
