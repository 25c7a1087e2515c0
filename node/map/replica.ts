/**
 * One document as this node keeps it: the present generation of a claim set, and what becomes of
 * updates from outside. Every change that takes effect is reported once, in order, so that the log
 * can store it and gossip can pass it on.
 *
 * Invariants: nothing reaches the claim set that `judge` has not found good; a generation is only
 * ever replaced by a greater one that says all that the old one said.
 */

import type { ClaimSet } from '../../crdt/claim-set.ts'
import type { Generation } from '../../crdt/generation.ts'
import {
  compareGenerations,
  FIRST_GENERATION,
  mergeInto,
  needsRewrite,
  nextGeneration,
  rewrite
} from '../../crdt/generation.ts'
import { MAX_RECORD_BYTES, MAX_UPDATE_BYTES, REWRITE_BYTES } from '../../crdt/limits.ts'
import { readStep, stepOne, stepTwo } from '../../crdt/sync-steps.ts'
import type { Verdict } from '../../crdt/validate.ts'
import { judge } from '../../crdt/validate.ts'
import { assert } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { Nonce } from '../../protocols/ids.ts'
import { isNonce } from '../../protocols/ids.ts'
import type { DocumentName, Head } from '../../protocols/map-sync/messages.ts'

/** `begins`: the update is a whole document that replaces what was kept under the name. */
export interface ReplicaChange {
  readonly document: DocumentName
  readonly generation: Generation
  readonly update: Uint8Array
  readonly begins: boolean
  readonly isLocal: boolean
}

/** What a replica needs from its surroundings. */
export interface ReplicaHost<R> {
  /** An empty document with a client id that was never used before. */
  readonly create: () => ClaimSet<R>
  readonly nonce: () => Nonce
  /** What a rewrite or a merge keeps (tombstones end one day). */
  readonly keeps: (record: R) => boolean
  readonly onChange: (change: ReplicaChange) => void
}

/**
 * - applied, known: it is in.
 * - early: something before it is missing; sync with the sender.
 * - older, newer: it belongs to another generation; sync with the sender.
 * - bad: dropped, and why.
 */
export type Received =
  | { readonly is: 'applied' | 'known' | 'early' | 'older' | 'newer' }
  | { readonly is: 'bad'; readonly why: string }

export class Replica<R> {
  readonly document: DocumentName
  readonly #host: ReplicaHost<R>
  #set: ClaimSet<R>
  #generation: Generation = FIRST_GENERATION
  #tidyAboveBytes = REWRITE_BYTES

  constructor(document: DocumentName, host: ReplicaHost<R>) {
    this.document = document
    this.#host = host
    this.#set = host.create()
  }

  get set(): ClaimSet<R> {
    return this.#set
  }

  get generation(): Generation {
    return this.#generation
  }

  get isEmpty(): boolean {
    return this.#set.liveCount === 0
  }

  head(): Head {
    const digest = this.#set.digest()
    assert(isNonce(digest), 'a digest is 16 hex digits')
    return { document: this.document, generation: this.#generation, digest }
  }

  /**
   * Adds our own records; what is dominated already is left out. Returns whether it changed.
   * Throws LIMIT if the document is full.
   */
  add(records: readonly R[]): boolean {
    if (!this.#hasRoom(records.length * MAX_RECORD_BYTES)) {
      const fault = { code: 'LIMIT', limit: 'MAX_UPDATE_BYTES' } as const
      throw new ShoalError(fault, `the map's document ${this.document} is full`)
    }
    const update = this.#set.add(records)
    if (update !== undefined) this.#report(update, { begins: false, isLocal: true })
    if (this.#set.isBlocked) this.rewrite(records)
    return update !== undefined
  }

  /** Takes an update of `generation` from a peer. */
  receive(generation: Generation, bytes: Uint8Array): Received {
    const order = compareGenerations(generation, this.#generation)
    if (order !== 0) return { is: order < 0 ? 'older' : 'newer' }
    if (!this.#hasRoom(bytes.length)) return { is: 'bad', why: 'the document is full' }
    return this.#apply(judge(this.#set, bytes))
  }

  /** Takes a whole document from a peer: merges it if it is ours, replaces ours if it is newer. */
  receiveWhole(generation: Generation, bytes: Uint8Array): Received {
    if (compareGenerations(generation, this.#generation) <= 0) {
      return this.receive(generation, bytes)
    }
    const old = this.#set
    const received = this.load(generation, bytes)
    if (received.is === 'bad' || received.is === 'early') return received
    this.#report(this.#set.encode(), { begins: true, isLocal: false })
    const update = mergeInto(this.#set, old, this.#host.keeps)
    if (update !== undefined) this.#report(update, { begins: false, isLocal: true })
    old.destroy()
    return { is: 'applied' }
  }

  /** Replaces what is here by a whole document of `generation`: from the log, or after a discard. */
  load(generation: Generation, bytes: Uint8Array): Received {
    const fresh = this.#host.create()
    const verdict = judge(fresh, bytes)
    if (verdict.is === 'bad' || verdict.is === 'early') return verdict
    if (verdict.is === 'good') fresh.apply(verdict.update, verdict.added)
    this.#set = fresh
    this.#generation = generation
    return { is: 'applied' }
  }

  /** Takes up an update from our own log. */
  reload(bytes: Uint8Array): Received {
    const verdict = judge(this.#set, bytes)
    if (verdict.is === 'good') this.#set.apply(verdict.update, verdict.added)
    return verdict.is === 'good' ? { is: 'applied' } : verdict
  }

  /** The whole document, as one update. */
  encode(): Uint8Array {
    return this.#set.encode()
  }

  /** Our step 1: what we have. */
  stepOne(): Uint8Array {
    return stepOne(this.#set)
  }

  /** The step 2 that answers a step 1; undefined if that cannot be read. */
  stepTwoFor(step: Uint8Array): Uint8Array | undefined {
    const read = readStep(step)
    return read?.step === 1 ? stepTwo(this.#set, read.stateVector) : undefined
  }

  /** Rewrites the document into its next generation if it has outgrown its bound. */
  tidy(): boolean {
    if (this.#set.updateBytes <= this.#tidyAboveBytes) return false
    const bytes = this.#set.encode().length
    const fresh = rewrite(this.#set, this.#host.create(), this.#host.keeps)
    const size = { bytes, liveBytes: fresh.updateBytes, generation: this.#generation }
    if (needsRewrite(size)) {
      this.#replace(fresh)
      return true
    }
    fresh.destroy()
    this.#tidyAboveBytes = Math.max(REWRITE_BYTES, 2 * bytes)
    return false
  }

  /** The next generation: what the document says, and `records` too. */
  rewrite(records: readonly R[] = []): void {
    const fresh = rewrite(this.#set, this.#host.create(), this.#host.keeps)
    fresh.add(records)
    this.#replace(fresh)
  }

  /** The document must fit one message; `updateBytes` estimates its size from above. */
  #hasRoom(bytes: number): boolean {
    if (this.#set.updateBytes + bytes <= MAX_UPDATE_BYTES) return true
    return this.#set.encode().length + bytes <= MAX_UPDATE_BYTES
  }

  #replace(fresh: ClaimSet<R>): void {
    this.#set.destroy()
    this.#set = fresh
    this.#generation = nextGeneration(this.#generation, this.#host.nonce())
    this.#report(fresh.encode(), { begins: true, isLocal: true })
  }

  #apply(verdict: Verdict<R>): Received {
    if (verdict.is !== 'good') return verdict
    const update = this.#set.apply(verdict.update, verdict.added)
    if (update !== undefined) this.#report(update, { begins: false, isLocal: false })
    return { is: 'applied' }
  }

  #report(update: Uint8Array, how: { begins: boolean; isLocal: boolean }): void {
    this.#host.onChange({
      document: this.document,
      generation: this.#generation,
      update,
      ...how
    })
  }
}
