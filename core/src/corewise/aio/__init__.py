"""asyncio: concurrent calls become batches, and objects are spread over workers."""
