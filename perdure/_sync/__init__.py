"""The clients without asyncio: made of `perdure._async` by `python -m tests.sync_client`."""
