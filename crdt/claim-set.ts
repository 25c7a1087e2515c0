/**
 * A document: a set of claims on Yjs that merges without a coordinator and never loses the greatest
 * claim of anything.
 *
 *   Y.Map "claims":  <group>/<version>/<hash of the value>  ->  the claim's bytes, written once
 *
 * Yjs settles two writes of one key by client id, whatever they say (measured: epoch 5 beat epoch
 * 12). So no key is ever written twice with different values: it is made of what the claim is
 * about (its group), its version and its content. Concurrent claims lie side by side; the view
 * takes the one that no other dominates. Two values of one version differ in their hash, and the
 * greater key wins: decided by content, the same on every replica.
 *
 * Invariants:
 * - A key is added at most once per document; a pruned key never comes back.
 * - A claim is pruned only by whoever adds one that dominates it, in the same transaction.
 * - The index (groups) holds exactly the live keys of the Y.Map.
 */
import { xxh64 } from '@node-rs/xxhash'
import * as Y from 'yjs'
import { assert } from '../protocols/assert.ts'
import { MAX_GROUP_RECORDS, MAX_KEY_CHARS, MAX_RECORD_BYTES } from './limits.ts'
import { ROOT } from './update-reader.ts'

/** A record and the key that it determines. */
export interface Claim<R> {
  readonly key: string
  readonly record: R
}

/** What one kind of document may say. Pure; `decode` is total. */
export interface Rules<R> {
  readonly encode: (record: R) => Uint8Array
  readonly decode: (bytes: Uint8Array) => R | undefined
  /** What the record is about. Records of different groups never dominate each other. */
  readonly group: (record: R) => string
  /** The record's version as text, for the key only. */
  readonly version: (record: R) => string
  /** A strict partial order within a group; what is dominated may be forgotten. */
  readonly dominates: (a: Claim<R>, b: Claim<R>) => boolean
}

export interface ClaimSetOptions {
  /** Yjs's client id: fresh for every instance, never used before in the mesh. */
  readonly clientId: number
}

const DIGEST_MASK = 0xffff_ffff_ffff_ffffn
const APPLIED = Symbol('applied')

export class ClaimSet<R> {
  readonly rules: Rules<R>
  readonly #doc: Y.Doc
  readonly #map: Y.Map<unknown>
  readonly #groups = new Map<string, Map<string, R>>()
  readonly #groupOf = new Map<string, string>()
  #liveDigest = 0n
  #digest: string | undefined
  #updateBytes = 0
  #captured: Uint8Array | undefined
  #isBlocked = false

  constructor(rules: Rules<R>, options: ClaimSetOptions) {
    this.rules = rules
    this.#doc = new Y.Doc({ gc: true, guid: ROOT })
    this.#doc.clientID = options.clientId
    this.#map = this.#doc.getMap(ROOT)
    this.#doc.on('update', (update: Uint8Array) => {
      this.#captured = update
    })
  }

  /**
   * Adds what is new and not dominated, and prunes what it dominates. Returns the update for the
   * others, or undefined if nothing changed.
   */
  add(records: Iterable<R>): Uint8Array | undefined {
    this.#captured = undefined
    this.#doc.transact(() => {
      for (const record of records) this.#addOne(record)
    })
    return this.#finish()
  }

  /**
   * Applies an update that `judge` (validate.ts) found good against this very state; `added` are
   * its decoded records by key. Returns what of it took effect, or undefined.
   */
  apply(update: Uint8Array, added: ReadonlyMap<string, R>): Uint8Array | undefined {
    this.#captured = undefined
    const observer = (event: Y.YMapEvent<unknown>) => this.#observe(event.keysChanged, added)
    this.#map.observe(observer)
    Y.applyUpdate(this.#doc, update, APPLIED)
    this.#map.unobserve(observer)
    assert(this.#doc.store.pendingStructs === null, 'a judged update leaves nothing pending')
    assert(this.#doc.store.pendingDs === null, 'a judged update leaves no delete pending')
    return this.#finish()
  }

  has(key: string): boolean {
    return this.#groupOf.has(key)
  }

  /** The group of a live key. */
  groupOf(key: string): string | undefined {
    return this.#groupOf.get(key)
  }

  /** The live records of a group by key, dominated ones included. */
  group(name: string): ReadonlyMap<string, R> {
    return this.#groups.get(name) ?? new Map()
  }

  /** The claims of a group that no other claim dominates; one, but for partial orders. */
  greatest(name: string): Claim<R>[] {
    const claims = [...this.group(name)].map(([key, record]) => ({ key, record }))
    if (claims.length < 2) return claims
    return claims.filter(claim => !claims.some(other => this.rules.dominates(other, claim)))
  }

  groupNames(): IterableIterator<string> {
    return this.#groups.keys()
  }

  /** Everything that no other claim dominates: what the document says. */
  *claims(): Generator<Claim<R>> {
    for (const name of this.#groups.keys()) yield* this.greatest(name)
  }

  get liveCount(): number {
    return this.#groupOf.size
  }

  /** Upper estimate of the encoded size: the updates that made the document. */
  get updateBytes(): number {
    return this.#updateBytes
  }

  /** A record could not be added here (its key has bones); only a new generation can hold it. */
  get isBlocked(): boolean {
    return this.#isBlocked
  }

  get clientId(): number {
    return this.#doc.clientID
  }

  /** The Yjs document, for the sync steps; nobody else's business. */
  get doc(): Y.Doc {
    return this.#doc
  }

  /** The number of items known of a client: the next clock expected of it. */
  clockOf(client: number): number {
    return Y.getState(this.#doc.store, client)
  }

  /** The key of a client's item if it is what keeps this key alive. */
  liveKeyOf(client: number, clock: number): string | undefined {
    const structs = this.#doc.store.clients.get(client)
    if (structs === undefined || clock >= this.clockOf(client)) return undefined
    const item = structs[Y.findIndexSS(structs, clock)]
    return item instanceof Y.Item && !item.deleted ? (item.parentSub ?? undefined) : undefined
  }

  /** Who decides whether a key is live: the greatest client that ever wrote it. */
  winnerOf(key: string): { client: number; live: boolean } | undefined {
    const item = this.#map._map.get(key)
    return item === undefined ? undefined : { client: item.id.client, live: !item.deleted }
  }

  /** All of it as one update. */
  encode(): Uint8Array {
    return Y.encodeStateAsUpdate(this.#doc)
  }

  /** Equal on two replicas exactly if they hold the same items and the same of them are live. */
  digest(): string {
    if (this.#digest === undefined) {
      const vector = xxh64(Y.encodeStateVector(this.#doc))
      this.#digest = (vector ^ this.#liveDigest).toString(16).padStart(16, '0')
    }
    return this.#digest
  }

  destroy(): void {
    this.#doc.destroy()
  }

  #addOne(record: R): void {
    const { rules } = this
    const bytes = rules.encode(record)
    const key = claimKey(rules, record, bytes)
    assert(bytes.length <= MAX_RECORD_BYTES, 'our records are within bounds')
    assert(key.length <= MAX_KEY_CHARS, 'our keys are within bounds')
    if (this.has(key)) return
    const claim = { key, record }
    const members = [...this.group(rules.group(record))].map(([k, r]) => ({ key: k, record: r }))
    if (members.some(member => rules.dominates(member, claim))) return
    const dominated = members.filter(member => rules.dominates(claim, member))
    assert(members.length - dominated.length < MAX_GROUP_RECORDS, 'a group has room for a claim')
    if (this.winnerOf(key) !== undefined) {
      this.#isBlocked = true
      return
    }
    this.#map.set(key, bytes)
    this.#insert(claim)
    for (const member of dominated) {
      this.#map.delete(member.key)
      this.#remove(member.key)
    }
  }

  #observe(keys: Iterable<string>, added: ReadonlyMap<string, R>): void {
    for (const key of keys) {
      const isLive = this.winnerOf(key)?.live === true
      if (isLive === this.has(key)) continue
      if (!isLive) {
        this.#remove(key)
        continue
      }
      const record = added.get(key)
      assert(record !== undefined, 'a key comes alive only by a judged record')
      this.#insert({ key, record })
    }
  }

  #insert(claim: Claim<R>): void {
    const name = this.rules.group(claim.record)
    const members = this.#groups.get(name) ?? new Map<string, R>()
    this.#groups.set(name, members.set(claim.key, claim.record))
    this.#groupOf.set(claim.key, name)
    this.#liveDigest = (this.#liveDigest + xxh64(claim.key)) & DIGEST_MASK
  }

  #remove(key: string): void {
    const name = this.#groupOf.get(key)
    assert(name !== undefined, 'only a live key is removed')
    const members = this.#groups.get(name)
    members?.delete(key)
    if (members?.size === 0) this.#groups.delete(name)
    this.#groupOf.delete(key)
    this.#liveDigest = (this.#liveDigest - xxh64(key)) & DIGEST_MASK
  }

  #finish(): Uint8Array | undefined {
    const update = this.#captured
    this.#captured = undefined
    if (update === undefined) return undefined
    this.#digest = undefined
    this.#updateBytes += update.length
    return update
  }
}

/** The key that a record and its encoded value determine. */
export function claimKey<R>(rules: Rules<R>, record: R, bytes: Uint8Array): string {
  const hash = xxh64(bytes).toString(16).padStart(16, '0')
  return `${rules.group(record)}/${rules.version(record)}/${hash}`
}

/** Several updates of one document, each continuing the one before, as one. */
export function joinUpdates(updates: readonly Uint8Array[]): Uint8Array {
  const [only] = updates
  return only !== undefined && updates.length === 1 ? only : Y.mergeUpdates([...updates])
}
