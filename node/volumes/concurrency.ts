/**
 * Bounded concurrency for work that is mostly waiting.
 *
 * Invariants: never more than `limit` tasks at once; results in the order of the inputs; after the
 * first failure nothing new begins, and what had begun has ended before it is thrown.
 */
import { assert } from '../../protocols/assert.ts'

/** `task` of every item, `limit` at a time; one failing task fails all. */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  limit: number,
  task: (item: T) => Promise<R>
): Promise<R[]> {
  const results: R[] = []
  for await (const result of orderedConcurrently(items, limit, task)) results.push(result)
  return results
}

/** A stage for `pipe`: the tasks overlap, the results come in order. */
export async function* orderedConcurrently<T, R>(
  items: AsyncIterable<T> | Iterable<T>,
  limit: number,
  task: (item: T) => Promise<R>
): AsyncGenerator<R> {
  assert(limit >= 1, 'at least one task may run')
  const running: Array<Promise<R>> = []
  try {
    for await (const item of items) {
      const result = task(item)
      // Waited for below; until then a rejection must not count as unhandled.
      result.catch(() => undefined)
      running.push(result)
      const first = running.length >= limit ? running.shift() : undefined
      if (first !== undefined) yield await first
    }
    for (let next = running.shift(); next !== undefined; next = running.shift()) yield await next
  } finally {
    await Promise.allSettled(running)
  }
}
