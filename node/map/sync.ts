/**
 * Sync with one peer at a time: compare one digest over all of its documents, then bring each
 * document that differs to the same state (protocols/map-sync/PROTOCOL.md).
 *
 * Invariants: one sync per peer at a time, a bounded number at once; a node that was away gives up
 * its documents before it takes any from one that was not; nothing a peer sends is believed before
 * the replica judged it.
 */
import { compareGenerations } from '../../crdt/generation.ts'
import { readStep, STEP_ONE_OF_NOTHING } from '../../crdt/sync-steps.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId, Nonce } from '../../protocols/ids.ts'
import { MAX_MAP_MESSAGE_BYTES } from '../../protocols/limits.ts'
import type {
  DocumentName,
  Head,
  Standing,
  SyncAnswer,
  SyncRequest
} from '../../protocols/map-sync/messages.ts'
import { MAP_SYNC_PROTOCOL, syncAnswerSchema } from '../../protocols/map-sync/messages.ts'
import { MAP_CALL_TIMEOUT_MS, MAP_HEADS_REMEMBERED, MAP_PEERS_REMEMBERED } from '../limits.ts'
import type { Rpc } from '../rpc/types.ts'
import type { Documents } from './documents.ts'

/** What asking and answering have in common. */
export interface SyncSides {
  readonly rpc: Rpc
  readonly documents: Documents
  readonly standing: () => Standing
  /** Whether the document of this volume belongs here. */
  readonly wants: (document: DocumentName) => boolean
  readonly onBad: (from: NodeId, why: string) => void
}

export interface SyncOptions extends SyncSides {
  /** Ours are too old to be merged with the mesh's: forget them. */
  readonly discard: () => void
  /** A peer of this standing and we agree on everything. */
  readonly onAgreed: (standing: Standing) => void
}

interface SeenHeads {
  readonly digest: Nonce
  readonly heads: ReadonlyMap<DocumentName, Head>
}

export const CALL = { timeoutMs: MAP_CALL_TIMEOUT_MS, maxBytes: MAX_MAP_MESSAGE_BYTES }

export class Sync {
  readonly #options: SyncOptions
  readonly #seen = new Map<NodeId, SeenHeads>()

  constructor(options: SyncOptions) {
    this.#options = options
  }

  /** Brings all documents that both sides keep, or that we lack, to the same state. */
  async syncWith(peer: NodeId): Promise<void> {
    const { documents, standing, discard, onAgreed, wants } = this.#options
    const theirs = await this.#askHeads(peer)
    if (theirs === undefined) return
    // A node that was away comes to us by itself, after it gave up what it has.
    if (standing() === 'current' && theirs.standing === 'away') return
    if (standing() === 'away' && theirs.standing === 'current') discard()
    let agreed = true
    for (const [document, head] of theirs.heads) {
      if (documents.get(document) === undefined && !wants(document)) continue
      const ours = documents.get(document)?.head()
      if (ours !== undefined && isSame(ours, head)) continue
      agreed = (await this.syncDocument(peer, document)) && agreed
    }
    if (agreed) onAgreed(theirs.standing)
  }

  /** Brings one document to the same state here and there; false if the peer does not have it. */
  async syncDocument(peer: NodeId, document: DocumentName): Promise<boolean> {
    const { documents } = this.#options
    const ours = documents.get(document)
    const answer = await this.#pull(peer, document, ours === undefined)
    if (answer.is === 'steps') return this.#take(peer, document, answer, ours === undefined)
    if (answer.is !== 'other') return false
    const replica = documents.get(document)
    if (replica === undefined) return false
    if (compareGenerations(answer.generation, replica.generation) < 0) {
      return this.#push(peer, document, STEP_ONE_OF_NOTHING)
    }
    const whole = await this.#pull(peer, document, true)
    return whole.is === 'steps' && this.#take(peer, document, whole, true)
  }

  /** Hands over all of a document of ours; true if the peer keeps it now. */
  offer(peer: NodeId, document: DocumentName): Promise<boolean> {
    return this.#push(peer, document, STEP_ONE_OF_NOTHING)
  }

  /** Peers that had the document when we last heard. */
  keepers(document: DocumentName): NodeId[] {
    const keepers: NodeId[] = []
    for (const [peer, { heads }] of this.#seen) {
      if (heads.has(document)) keepers.push(peer)
    }
    return keepers
  }

  /** Whether a peer had the document in exactly this state when we last heard. */
  isKeptElsewhere(head: Head): boolean {
    for (const { heads } of this.#seen.values()) {
      const other = heads.get(head.document)
      if (other !== undefined && isSame(other, head)) return true
    }
    return false
  }

  async #askHeads(peer: NodeId): Promise<(SeenHeads & { standing: Standing }) | undefined> {
    const seen = this.#seen.get(peer)
    const standing = this.#options.standing()
    const request = { ask: 'heads', standing } as const
    const answer = await this.#call(peer, seen ? { ...request, seen: seen.digest } : request)
    if (answer.is !== 'heads') return undefined
    const { digest } = answer
    if (answer.heads === undefined) {
      return digest === seen?.digest ? { ...seen, standing: answer.standing } : undefined
    }
    const heads = new Map(answer.heads.map(head => [head.document, head]))
    this.#remember(peer, { digest, heads })
    return { digest, heads, standing: answer.standing }
  }

  /** Keeps what was seen last, of as many peers as the bound allows. */
  #remember(peer: NodeId, seen: SeenHeads): void {
    this.#seen.delete(peer)
    this.#seen.set(peer, seen)
    let total = 0
    for (const { heads } of this.#seen.values()) total += heads.size
    for (const [oldest, { heads }] of this.#seen) {
      if (total <= MAP_HEADS_REMEMBERED && this.#seen.size <= MAP_PEERS_REMEMBERED) break
      this.#seen.delete(oldest)
      total -= heads.size
    }
  }

  #pull(peer: NodeId, document: DocumentName, whole: boolean): Promise<SyncAnswer> {
    const replica = whole ? undefined : this.#options.documents.get(document)
    if (replica === undefined) {
      return this.#call(peer, { ask: 'pull', document, step: STEP_ONE_OF_NOTHING })
    }
    const { generation } = replica
    return this.#call(peer, { ask: 'pull', document, generation, step: replica.stepOne() })
  }

  async #take(
    peer: NodeId,
    document: DocumentName,
    answer: Extract<SyncAnswer, { is: 'steps' }>,
    whole: boolean
  ): Promise<boolean> {
    const read = readStep(answer.step)
    if (read?.step !== 2) return this.#isBad(peer, 'a step 2 that cannot be read')
    const received = this.#options.documents.receive({ ...answer, document }, read.update, whole)
    if (received === undefined) return false
    if (received.is === 'bad') return this.#isBad(peer, received.why)
    if (received.is !== 'applied' && received.is !== 'known') return false
    if (this.#options.documents.get(document)?.head().digest === answer.digest) return true
    return this.#push(peer, document, answer.want)
  }

  /** Sends what a peer with that step 1 lacks. */
  async #push(peer: NodeId, document: DocumentName, want: Uint8Array): Promise<boolean> {
    const replica = this.#options.documents.get(document)
    if (replica === undefined) return false
    const step = replica.stepTwoFor(want)
    if (step === undefined) return this.#isBad(peer, 'a step 1 that cannot be read')
    const { generation } = replica
    const answer = await this.#call(peer, { ask: 'push', document, generation, step })
    return answer.is === 'done'
  }

  #isBad(peer: NodeId, why: string): false {
    this.#options.onBad(peer, why)
    return false
  }

  async #call(peer: NodeId, request: SyncRequest): Promise<SyncAnswer> {
    try {
      return await this.#options.rpc.call(peer, MAP_SYNC_PROTOCOL, request, syncAnswerSchema, CALL)
    } catch (error) {
      if (isFault(error, 'BAD_MESSAGE')) this.#options.onBad(peer, messageOf(error))
      throw error
    }
  }
}

function isSame(a: Head, b: Head): boolean {
  const isEqual = a.document === b.document && a.digest === b.digest
  return isEqual && compareGenerations(a.generation, b.generation) === 0
}
