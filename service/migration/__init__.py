"""`eddycast state`: show, export, import and edit state rows."""
