/**
 * The answering side of map-sync (protocols/map-sync/PROTOCOL.md). Every answer is made from the
 * documents as they are in that moment; nothing is remembered between calls.
 */
import { xxh64 } from '@node-rs/xxhash'
import { compareGenerations } from '../../crdt/generation.ts'
import { readStep } from '../../crdt/sync-steps.ts'
import { assert } from '../../protocols/assert.ts'
import type { NodeId, Nonce } from '../../protocols/ids.ts'
import { isNonce } from '../../protocols/ids.ts'
import type { Head, SyncAnswer, SyncRequest } from '../../protocols/map-sync/messages.ts'
import { MAP_SYNC_PROTOCOL, syncRequestSchema } from '../../protocols/map-sync/messages.ts'
import type { SyncSides } from './sync.ts'
import { CALL } from './sync.ts'

export interface SyncServerOptions extends SyncSides {
  /** We lack something that this peer has. */
  readonly soon: (peer: NodeId) => void
}

type Ask<Name extends SyncRequest['ask']> = Extract<SyncRequest, { ask: Name }>

export function serveSync(options: SyncServerOptions): void {
  const handler = async (from: NodeId, request: SyncRequest) => answer(options, from, request)
  options.rpc.serve(MAP_SYNC_PROTOCOL, syncRequestSchema, handler, CALL)
}

function answer(options: SyncServerOptions, from: NodeId, request: SyncRequest): SyncAnswer {
  switch (request.ask) {
    case 'heads':
      return answerHeads(options, from, request)
    case 'pull':
      return answerPull(options, from, request)
    case 'push':
      return answerPush(options, from, request)
  }
}

function answerHeads(
  { documents, standing, soon }: SyncServerOptions,
  from: NodeId,
  request: Ask<'heads'>
): SyncAnswer {
  if (standing() === 'away' && request.standing === 'current') soon(from)
  const heads = documents.heads()
  const digest = digestOf(heads)
  const short = { is: 'heads', digest, standing: standing() } as const
  return request.seen === digest ? short : { ...short, heads }
}

function answerPull(
  { documents, onBad, soon }: SyncServerOptions,
  from: NodeId,
  request: Ask<'pull'>
): SyncAnswer {
  const replica = documents.get(request.document)
  if (replica === undefined) return { is: 'absent' }
  const { generation } = replica
  if (request.generation !== undefined) {
    const order = compareGenerations(generation, request.generation)
    if (order < 0) soon(from)
    if (order !== 0) return { is: 'other', generation }
  }
  const step = replica.stepTwoFor(request.step)
  if (step === undefined) {
    onBad(from, 'a step 1 that cannot be read')
    return { is: 'refused', why: 'not a step 1' }
  }
  const { digest } = replica.head()
  return { is: 'steps', generation, digest, step, want: replica.stepOne() }
}

function answerPush(
  { documents, onBad, soon, wants }: SyncServerOptions,
  from: NodeId,
  request: Ask<'push'>
): SyncAnswer {
  const { document } = request
  if (documents.get(document) === undefined && !wants(document)) return { is: 'absent' }
  const read = readStep(request.step)
  if (read?.step !== 2) {
    onBad(from, 'a step 2 that cannot be read')
    return { is: 'refused', why: 'not a step 2' }
  }
  const received = documents.receive(request, read.update, true)
  if (received === undefined) return { is: 'absent' }
  switch (received.is) {
    case 'applied':
    case 'known':
      return { is: 'done' }
    case 'older': {
      const generation = documents.get(document)?.generation ?? request.generation
      return { is: 'other', generation }
    }
    case 'bad':
      onBad(from, received.why)
      return { is: 'refused', why: received.why }
    default:
      soon(from)
      return { is: 'refused', why: 'something before it is missing' }
  }
}

function digestOf(heads: readonly Head[]): Nonce {
  const lines = heads.map(
    ({ document, generation, digest }) =>
      `${document} ${generation.number} ${generation.id} ${digest}`
  )
  const digest = xxh64(lines.sort().join('\n')).toString(16).padStart(16, '0')
  assert(isNonce(digest), 'a digest is 16 hex digits')
  return digest
}
