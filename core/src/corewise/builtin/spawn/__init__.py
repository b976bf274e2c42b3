"""The process pool of corewise: workers are fresh interpreters, each behind a socket pair of its own."""
