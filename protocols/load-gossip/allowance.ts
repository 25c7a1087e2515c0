/**
 * What each author may say: a bucket of bytes per author, filled at a steady rate. One that says
 * more is heard no further, so one bad member cannot crowd out the others here.
 *
 * Invariant: there is a bucket only for nodes of the mesh (`keep`).
 */
import type { NodeId } from '../ids.ts'

interface Bucket {
  bytes: number
  atMs: number
}

const MINUTE_MS = 60_000

export class Allowance {
  readonly #buckets = new Map<NodeId, Bucket>()

  /** True if `author` may say so much now. `perMinute`: what it may say on average; `burst`: at once. */
  take(
    author: NodeId,
    bytes: number,
    at: { readonly nowMs: number; readonly perMinute: number; readonly burst: number }
  ): boolean {
    const { nowMs, perMinute, burst } = at
    const bucket = this.#buckets.get(author) ?? { bytes: burst, atMs: nowMs }
    const grown = ((nowMs - bucket.atMs) * perMinute) / MINUTE_MS
    bucket.bytes = Math.min(burst, bucket.bytes + grown)
    bucket.atMs = nowMs
    this.#buckets.set(author, bucket)
    if (bucket.bytes < bytes) return false
    bucket.bytes -= bytes
    return true
  }

  keep(isMember: (node: NodeId) => boolean): void {
    for (const author of this.#buckets.keys()) if (!isMember(author)) this.#buckets.delete(author)
  }
}
