"""The assistant behind HTTP: an OpenAI-compatible API, a web page, ratings, and the limits that keep it standing."""
