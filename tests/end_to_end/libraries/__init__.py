"""Client libraries and queue systems that work while the proxy moves them, again and again, between two servers."""
