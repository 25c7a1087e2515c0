/**
 * The identities and versions of design.md section 1, and their orders. Plain data: comparable,
 * encodable, no behaviour. Everything that arrives from outside becomes one of these only through
 * a decoder that checks it.
 *
 *   token            (counter, attach id)      who may write a volume; compared as a pair
 *   placement epoch  (token, counter)          version of where a replica is held
 *   chunk key        (volume, extent, generation, column, replica)
 *   run              a range of extents of one column, held at one epoch
 */
import { MAX_COUNTER } from './limits.ts'

declare const brand: unique symbol
type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** 16 random bytes as 32 lower-case hex digits. */
export type VolumeId = Brand<string, 'VolumeId'>
/** A libp2p peer id in its base58 text form. */
export type NodeId = Brand<string, 'NodeId'>
/** 8 random bytes as 16 lower-case hex digits. */
export type Nonce = Brand<string, 'Nonce'>
/** One attempt to pass a replica on: 8 random bytes as 16 lower-case hex digits, never used twice. */
export type HandoffId = Brand<string, 'HandoffId'>

export interface Token {
  readonly counter: number
  readonly attach: Nonce
}

export interface PlacementEpoch {
  readonly token: Token
  readonly counter: number
}

/** One start of a node's store. A later start has a greater number; the nonce tells clones apart. */
export interface Incarnation {
  readonly number: number
  readonly nonce: Nonce
}

export interface ChunkKey {
  readonly volume: VolumeId
  readonly extent: number
  readonly generation: number
  readonly column: number
  readonly replica: number
}

/** Extents [from, to) of one column and replica of one layout generation, held at `epoch`. */
export interface Run {
  readonly from: number
  readonly to: number
  readonly generation: number
  readonly column: number
  readonly replica: number
  readonly epoch: PlacementEpoch
}

/** What never changes about a volume while its layout generation lasts. Bytes. */
export interface VolumeSpec {
  readonly id: VolumeId
  readonly extentBytes: number
  readonly stripeUnitBytes: number
  readonly columns: number
  readonly copies: number
  readonly generation: number
}

export const ZERO_NONCE = '0000000000000000' as Nonce
export const NO_TOKEN: Token = { counter: 0, attach: ZERO_NONCE }

const HEX_32 = /^[0-9a-f]{32}$/
const HEX_16 = /^[0-9a-f]{16}$/
const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]{40,70}$/
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/

export function isVolumeId(value: unknown): value is VolumeId {
  return typeof value === 'string' && HEX_32.test(value)
}

export function isNonce(value: unknown): value is Nonce {
  return typeof value === 'string' && HEX_16.test(value)
}

export function isHandoffId(value: unknown): value is HandoffId {
  return typeof value === 'string' && HEX_16.test(value)
}

export function isNodeId(value: unknown): value is NodeId {
  return typeof value === 'string' && PEER_ID.test(value)
}

/** Names of volumes, nodes, hosts and regions. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value) && !value.includes('..')
}

export function isCounter(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_COUNTER
}

/** Negative, zero or positive, as Array.prototype.sort wants it. */
export function compareTokens(a: Token, b: Token): number {
  if (a.counter !== b.counter) return a.counter - b.counter
  return a.attach < b.attach ? -1 : a.attach > b.attach ? 1 : 0
}

export function compareEpochs(a: PlacementEpoch, b: PlacementEpoch): number {
  return compareTokens(a.token, b.token) || a.counter - b.counter
}

export function sameIncarnation(a: Incarnation, b: Incarnation): boolean {
  return a.number === b.number && a.nonce === b.nonce
}

/** The same start of the same store, or a later one; else `next` is an older copy, or a clone. */
export function isSuccessor(known: Incarnation, next: Incarnation): boolean {
  return next.number > known.number || sameIncarnation(known, next)
}

export function sameSpec(a: VolumeSpec, b: VolumeSpec): boolean {
  return (
    a.id === b.id &&
    a.extentBytes === b.extentBytes &&
    a.stripeUnitBytes === b.stripeUnitBytes &&
    a.columns === b.columns &&
    a.copies === b.copies &&
    a.generation === b.generation
  )
}

/** A text that is equal exactly for equal chunks; a key of maps, and part of file names. */
export function chunkName(key: ChunkKey): string {
  return `${key.volume}/${key.extent}.${key.generation}.${key.column}.${key.replica}`
}
