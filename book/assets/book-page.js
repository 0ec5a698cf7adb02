// Small things on every page.
