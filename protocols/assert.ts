/**
 * Assertions stay on in production: a broken invariant stops the work at hand rather than let it
 * write something wrong. Only for our own bugs; bad input and bad weather are faults (fault.ts).
 */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Throws InvariantError unless `condition` holds; `invariant` states what must hold, in words. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new InvariantError(`broken invariant: ${invariant}`)
}

/** The end of an exhaustive switch over a closed union. */
export function unreachable(value: never): never {
  throw new InvariantError(`broken invariant: unreachable value ${JSON.stringify(value)}`)
}
