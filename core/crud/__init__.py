"""The generic entity engine: it stores whatever schema/ declares and knows no entity by name."""
