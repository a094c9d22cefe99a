"""What surrounds a Promptfoo run: the tool itself, answers beforehand, results afterwards.

The provider that promptfooconfig.yaml names is ``system/promptfoo_provider.py``.
"""
