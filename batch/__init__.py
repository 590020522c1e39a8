"""Jobs over the lake: reconcile."""
