"""Maker-checker: what moves much money, or gives power, waits for a second person where its company wants that.

Who wants something done asks (:func:`services.ask`), and somebody else lets it be done (:func:`services.approve`): by the
same service as without all this, in the transaction that says it was approved. What a kind of request is and does, its
:class:`services.Action` knows, which lies beside the action itself.
"""
