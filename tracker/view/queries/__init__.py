"""Questions to the read model: the only thing that the API and the pages ask.

Each is a function of a connection, and of what it needs besides; answers are the documents of
`tracker.view.documents`. They block: `reader.Reader` asks them from an event loop.
"""
