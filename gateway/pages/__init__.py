"""Pages for people: HTML from templates, and a stylesheet. They need no script, and load nothing from another host."""
