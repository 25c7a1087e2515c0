/**
 * Generations of a document. Yjs keeps the bones of everything that was pruned, and a state vector
 * with a line for every start of a node that ever wrote. So a document that has grown past a bound
 * is rewritten: what it says goes into a fresh document with the next number and a random id.
 *
 *   (1, a) --rewrite--> (2, b)      the greater (number, id) wins; both may be made at once
 *   (1, a) ---adopt---> (2, b)      take over the other's document, add what only ours said
 *
 * Two generations have nothing in common for Yjs; they are merged on what they say: the union, in
 * which the greatest claims stand. Nothing that a document said is lost by a rewrite or an
 * adoption, but for tombstones that have outlived every certificate.
 */
import { assert } from '../protocols/assert.ts'
import type { Nonce } from '../protocols/ids.ts'
import { isNonce, ZERO_NONCE } from '../protocols/ids.ts'
import type { ClaimSet } from './claim-set.ts'
import { MAX_GENERATION, REWRITE_BYTES, REWRITE_FACTOR } from './limits.ts'
import type { MeshRecord } from './mesh-document.ts'

export interface Generation {
  readonly number: number
  readonly id: Nonce
}

/** Where every document begins on every node: empty, and so the same for all of them. */
export const FIRST_GENERATION: Generation = { number: 1, id: ZERO_NONCE }

/** Negative, zero or positive; the greater generation is adopted. */
export function compareGenerations(a: Generation, b: Generation): number {
  return a.number - b.number || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
}

export function isGeneration(value: { number: unknown; id: unknown }): boolean {
  const { number, id } = value
  const isNumber = typeof number === 'number' && Number.isInteger(number)
  return isNumber && number >= 1 && number <= MAX_GENERATION && isNonce(id)
}

/** Whether a document of `bytes`, of which `liveBytes` are what it says, should be rewritten. */
export function needsRewrite(size: {
  bytes: number
  liveBytes: number
  generation: Generation
}): boolean {
  if (size.generation.number >= MAX_GENERATION) return false
  return size.bytes > REWRITE_BYTES && size.bytes > REWRITE_FACTOR * size.liveBytes
}

/** The next generation after `generation`, named by a random id. */
export function nextGeneration(generation: Generation, id: Nonce): Generation {
  assert(generation.number < MAX_GENERATION, 'generations do not run out')
  return { number: generation.number + 1, id }
}

/** Makes `fresh`, an empty document, say what `from` says, but for what `keeps` lets go. */
export function rewrite<R>(
  from: ClaimSet<R>,
  fresh: ClaimSet<R>,
  keeps: (record: R) => boolean = () => true
): ClaimSet<R> {
  assert(fresh.liveCount === 0, 'a rewritten document starts empty')
  assert(fresh.clientId !== from.clientId, 'a rewritten document has a client id of its own')
  mergeInto(fresh, from, keeps)
  return fresh
}

/**
 * Adds to `into` what `from` says and `into` does not; returns the update for the others, or
 * undefined. The order in which documents are merged does not matter to what they say.
 */
export function mergeInto<R>(
  into: ClaimSet<R>,
  from: ClaimSet<R>,
  keeps: (record: R) => boolean = () => true
): Uint8Array | undefined {
  return into.add([...from.claims()].map(claim => claim.record).filter(keeps))
}

/**
 * Which records of the mesh a rewrite keeps: all but tombstones older than `retentionMs`, which is
 * longer than any certificate. Whoever could bring such a volume back is no member any more, or
 * discards its documents (`wasAwayTooLong`).
 */
export function keepsAt(nowMs: number, retentionMs: number): (record: MeshRecord) => boolean {
  return record => record.kind !== 'tombstone' || nowMs - record.at <= retentionMs
}

/**
 * Whether a node that last agreed with the mesh at `lastAgreedMs` (wall clock) has been away so
 * long that its documents may name volumes whose tombstones are gone. Such a node discards them
 * when it meets one that was not away. A tombstone is dropped only after `retentionMs`; the node
 * gives up its own documents one tenth earlier, against clocks that disagree.
 */
export function wasAwayTooLong(lastAgreedMs: number, nowMs: number, retentionMs: number): boolean {
  return nowMs - lastAgreedMs > retentionMs * 0.9
}
