/**
 * State-vector sync of one document, in the frames of y-protocols: step 1 asks with what one has,
 * step 2 answers with what the other lacks.
 *
 *   step 1 := 0 stateVector     step 2 := 1 update
 *
 * The library's own reader would apply a received step 2 at once; ours hands the update out, to be
 * judged first (validate.ts). Reading is total: any bytes give a step or undefined.
 */
import { createDecoder, hasContent, readVarUint, readVarUint8Array } from 'lib0/decoding'
import { createEncoder, toUint8Array } from 'lib0/encoding'
import {
  messageYjsSyncStep1,
  messageYjsSyncStep2,
  writeSyncStep1,
  writeSyncStep2
} from 'y-protocols/sync'
import { decodeStateVector } from 'yjs'
import type { ClaimSet } from './claim-set.ts'
import { MAX_STATE_VECTOR_BYTES } from './limits.ts'

export type SyncStep =
  | { readonly step: 1; readonly stateVector: Uint8Array }
  | { readonly step: 2; readonly update: Uint8Array }

/** An empty state vector: the step 1 of one who has nothing. */
export const STEP_ONE_OF_NOTHING = new Uint8Array([messageYjsSyncStep1, 1, 0])

/** Asks for what `set` lacks. */
export function stepOne<R>(set: ClaimSet<R>): Uint8Array {
  const encoder = createEncoder()
  writeSyncStep1(encoder, set.doc)
  return toUint8Array(encoder)
}

/** What the sender of a step 1 lacks; undefined if its state vector cannot be read. */
export function stepTwo<R>(set: ClaimSet<R>, stateVector: Uint8Array): Uint8Array | undefined {
  try {
    decodeStateVector(stateVector)
    const encoder = createEncoder()
    writeSyncStep2(encoder, set.doc, stateVector)
    return toUint8Array(encoder)
  } catch {
    return undefined
  }
}

export function readStep(bytes: Uint8Array): SyncStep | undefined {
  try {
    // Of its own memory: lib0 reads to the end of the buffer behind a view.
    const decoder = createDecoder(new Uint8Array(bytes))
    const type = readVarUint(decoder)
    const body = readVarUint8Array(decoder)
    if (hasContent(decoder) || body.length === 0) return undefined
    if (type === messageYjsSyncStep2) return { step: 2, update: body }
    if (type !== messageYjsSyncStep1 || body.length > MAX_STATE_VECTOR_BYTES) return undefined
    return { step: 1, stateVector: body }
  } catch {
    return undefined
  }
}
