"""The clients of asyncio: what is written by hand. `perdure._sync` is made of it."""
