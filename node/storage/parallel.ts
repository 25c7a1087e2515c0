/**
 * Runs `work` over `items`, at most `limit` at once. Rejects with the first error, after everything
 * that was begun has ended; begins nothing more after an error.
 */
export async function forEachParallel<T>(
  limit: number,
  items: Iterable<T>,
  work: (item: T) => Promise<unknown>
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const errors: unknown[] = []
  const worker = async () => {
    while (errors.length === 0) {
      const next = iterator.next()
      if (next.done === true) return
      try {
        await work(next.value)
      } catch (error) {
        errors.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: limit }, worker))
  if (errors.length > 0) throw errors[0]
}
