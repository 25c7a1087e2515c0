/**
 * The document of the mesh: nodes, the directory of volumes, tombstones and revocations.
 *
 *   node/<id>           what a node says of itself   (incarnation number, sequence within a start)
 *   volume/<id>         a name of the volume         (counter, node that set it)
 *                       or its tombstone             (dominates every name; the greater token wins)
 *   revocation/<peer>   signed; never pruned, none dominates another
 *   link/<a>/<b>        cost of moving between two regions (link-records.ts)
 *
 * A deleted volume leaves its tombstone, so nothing brings its name back. A name that two live
 * volumes hold belongs to neither, until one is renamed.
 */
import { z } from 'zod'
import { assert } from '../protocols/assert.ts'
import type { NodeId, Token, VolumeId } from '../protocols/ids.ts'
import {
  compareTokens,
  isCounter,
  isName,
  isNodeId,
  isNonce,
  isVolumeId,
  ZERO_NONCE
} from '../protocols/ids.ts'
import { MAX_ADDRESS_CHARS, MAX_ADDRESSES, MAX_COUNTER } from '../protocols/limits.ts'
import type { Rules } from './claim-set.ts'
import { ClaimSet } from './claim-set.ts'
import { MAX_REVOCATION_BYTES, MAX_VERSION_CHARS } from './limits.ts'
import { type LinkRecord, linkGroup, linkKind, linksOf } from './link-records.ts'
import { compareWritten } from './pattern-records.ts'
import { recordCodec } from './record-codec.ts'
import type { DirectoryEntry, MeshView, NodeEntry, Role, Tombstone } from './types.ts'

export interface NodeRecord {
  readonly kind: 'node'
  readonly id: NodeId
  readonly number: number
  readonly nonce: string
  /** Changes within one start, from 0. */
  readonly sequence: number
  readonly name: string
  readonly region: string
  readonly host: string
  readonly role: Role
  readonly capacityBytes: number
  readonly addresses: readonly string[]
  readonly version: string
  readonly leftAt?: number | undefined
}

export interface NameRecord {
  readonly kind: 'name'
  readonly id: VolumeId
  readonly name: string
  readonly counter: number
  readonly by: NodeId
  readonly createdAt: number
}

export interface TombstoneRecord {
  readonly kind: 'tombstone'
  readonly id: VolumeId
  readonly token: Token
  readonly at: number
}

export interface RevocationRecord {
  readonly kind: 'revocation'
  readonly peer: NodeId
  readonly signed: Uint8Array
}

export type MeshRecord = NodeRecord | NameRecord | TombstoneRecord | RevocationRecord | LinkRecord
export type MeshDocument = ClaimSet<MeshRecord>

const counter = z.custom<number>(isCounter)
const name = z.custom<string>(isName)
const nodeId = z.custom<NodeId>(isNodeId)
const volumeId = z.custom<VolumeId>(isVolumeId)
const nonce = z.custom<string>(isNonce)
const wallMs = z.number().min(0).max(MAX_COUNTER)
const printable = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[\x20-\x7e]*$/)

const node = z.strictObject({
  kind: z.literal('node'),
  id: nodeId,
  number: counter,
  nonce,
  sequence: counter,
  name,
  region: name,
  host: name,
  role: z.enum(['admin', 'node']),
  capacityBytes: counter,
  addresses: z.array(printable(MAX_ADDRESS_CHARS)).max(MAX_ADDRESSES),
  version: printable(MAX_VERSION_CHARS),
  leftAt: wallMs.optional()
})

const codec = recordCodec<MeshRecord>([
  {
    kind: 'node',
    fields: Object.keys(node.shape).filter(field => field !== 'kind'),
    schema: node
  },
  {
    kind: 'name',
    fields: ['id', 'name', 'counter', 'by', 'createdAt'],
    schema: z.strictObject({
      kind: z.literal('name'),
      id: volumeId,
      name,
      counter,
      by: nodeId,
      createdAt: wallMs
    })
  },
  {
    kind: 'tombstone',
    fields: ['id', 'token', 'at'],
    schema: z.strictObject({
      kind: z.literal('tombstone'),
      id: volumeId,
      token: z.strictObject({ counter, attach: nonce }),
      at: wallMs
    })
  },
  {
    kind: 'revocation',
    fields: ['peer', 'signed'],
    schema: z.strictObject({
      kind: z.literal('revocation'),
      peer: nodeId,
      signed: z.instanceof(Uint8Array).refine(bytes => bytes.length <= MAX_REVOCATION_BYTES)
    })
  },
  linkKind
])

export const meshRules: Rules<MeshRecord> = {
  ...codec,
  group: record => {
    if (record.kind === 'node') return `node/${record.id}`
    if (record.kind === 'revocation') return `revocation/${record.peer}`
    if (record.kind === 'link') return linkGroup(record)
    return `volume/${record.id}`
  },
  version: record => {
    if (record.kind === 'node') return `${record.number}.${record.sequence}`
    if (record.kind === 'name') return `name/${record.counter}/${record.by}`
    if (record.kind === 'tombstone') return `gone/${record.token.counter}.${record.token.attach}`
    // Who wrote it is in the hash: with two names of regions the key would be too long.
    if (record.kind === 'link') return `${record.counter}`
    return 'signed'
  },
  dominates: (a, b) => {
    if (a.record.kind === 'revocation' || b.record.kind === 'revocation') return false
    if (areTwins(a.record, b.record)) return false
    return (compareVersions(a.record, b.record) || compareText(a.key, b.key)) > 0
  }
}

export function createMeshDocument(clientId: number): MeshDocument {
  return new ClaimSet(meshRules, { clientId })
}

/** Whether a revocation is genuine (protocols/admission knows). */
export type AcceptsRevocation = (peer: NodeId, signed: Uint8Array) => boolean

/**
 * What the document says. A revocation that is not genuine is not shown, but stays in the document:
 * whether it is may depend on what a node knows yet, and replicas must agree all the same.
 */
export function meshView(
  document: MeshDocument,
  acceptsRevocation: AcceptsRevocation = () => true
): MeshView {
  const starts = new Map<NodeId, NodeRecord[]>()
  const volumes = new Map<VolumeId, DirectoryEntry>()
  const tombstones = new Map<VolumeId, Tombstone>()
  const revocations = new Map<NodeId, Uint8Array>()
  const links: LinkRecord[] = []
  for (const { record } of document.claims()) {
    if (record.kind === 'node') starts.set(record.id, [...(starts.get(record.id) ?? []), record])
    else if (record.kind === 'name') volumes.set(record.id, directoryEntry(record))
    else if (record.kind === 'tombstone') tombstones.set(record.id, tombstone(record))
    else if (record.kind === 'link') links.push(record)
    else if (acceptsRevocation(record.peer, record.signed)) collect(revocations, record)
  }
  const nodes = new Map([...starts].map(([id, records]) => [id, nodeEntry(records)]))
  const ambiguousNames = findAmbiguous(volumes)
  return { nodes, volumes, tombstones, revocations, ambiguousNames, links: linksOf(links) }
}

/** The record of `entry`, or undefined if the document already says exactly that, or newer. */
export function nodeRecord(document: MeshDocument, entry: NodeEntry): NodeRecord | undefined {
  const { incarnation, ...rest } = entry
  const starts = document.greatest(`node/${entry.id}`).map(claim => claim.record)
  const isOurs = (one: MeshRecord) => one.kind === 'node' && one.nonce === incarnation.nonce
  const said = starts.find(isOurs) ?? starts[0]
  const record = {
    ...rest,
    kind: 'node' as const,
    number: incarnation.number,
    nonce: incarnation.nonce,
    sequence: 0
  }
  if (said?.kind !== 'node' || said.number < record.number) return record
  if (said.number > record.number || sameEntry(said, record)) return undefined
  return { ...record, sequence: said.sequence + 1 }
}

/** The record that gives the volume `name`, greater than every one known; undefined if gone. */
export function nameRecord(
  document: MeshDocument,
  volume: { id: VolumeId; name: string; by: NodeId; createdAt: number }
): NameRecord | undefined {
  const said = document.greatest(`volume/${volume.id}`)[0]?.record
  if (said?.kind === 'tombstone') return undefined
  if (said?.kind !== 'name') return { kind: 'name', counter: 1, ...volume }
  if (said.name === volume.name) return undefined
  assert(said.counter < MAX_COUNTER, 'a volume is not renamed for ever')
  return { kind: 'name', ...volume, counter: said.counter + 1, createdAt: said.createdAt }
}

function compareVersions(a: MeshRecord, b: MeshRecord): number {
  if (a.kind === 'node' && b.kind === 'node') {
    return a.number - b.number || a.sequence - b.sequence
  }
  if (a.kind === 'name' && b.kind === 'name') {
    return a.counter - b.counter || compareText(a.by, b.by)
  }
  if (a.kind === 'tombstone' && b.kind === 'tombstone') {
    return compareTokens(a.token, b.token) || a.at - b.at
  }
  if (a.kind === 'link' && b.kind === 'link') return compareWritten(a, b)
  return (a.kind === 'tombstone' ? 1 : 0) - (b.kind === 'tombstone' ? 1 : 0)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** One number and two nonces: the store was copied, and both copies have been started. */
function areTwins(a: MeshRecord, b: MeshRecord): boolean {
  return a.kind === 'node' && b.kind === 'node' && a.number === b.number && a.nonce !== b.nonce
}

/** What the newest start of a node said; of twins, one, under a nonce that is nobody's. */
function nodeEntry(twins: readonly NodeRecord[]): NodeEntry {
  const [record] = [...twins].sort((a, b) => compareText(b.nonce, a.nonce))
  assert(record !== undefined, 'a node in the document has a record')
  const { kind: _kind, number, nonce: text, sequence: _sequence, leftAt, ...rest } = record
  assert(isNonce(text), 'a record in the document was validated')
  const believed = twins.length === 1 ? text : ZERO_NONCE
  const entry = { ...rest, incarnation: { number, nonce: believed } }
  return leftAt === undefined ? entry : { ...entry, leftAt }
}

function directoryEntry(record: NameRecord): DirectoryEntry {
  const { id, name: label, counter: count, by, createdAt } = record
  return { id, name: label, namedAt: { counter: count, by }, createdAt }
}

function tombstone(record: TombstoneRecord): Tombstone {
  return { id: record.id, token: record.token, at: record.at }
}

/** Of several genuine revocations any will do; the least, so that all replicas show the same. */
function collect(revocations: Map<NodeId, Uint8Array>, record: RevocationRecord): void {
  const shown = revocations.get(record.peer)
  if (shown !== undefined && Buffer.compare(shown, record.signed) <= 0) return
  revocations.set(record.peer, record.signed)
}

function findAmbiguous(
  volumes: ReadonlyMap<VolumeId, DirectoryEntry>
): ReadonlyMap<string, readonly VolumeId[]> {
  const holders = new Map<string, VolumeId[]>()
  for (const { id, name: label } of volumes.values()) {
    holders.set(label, [...(holders.get(label) ?? []), id])
  }
  const ambiguous = new Map<string, readonly VolumeId[]>()
  for (const [label, ids] of holders) if (ids.length > 1) ambiguous.set(label, ids.sort())
  return ambiguous
}

function sameEntry(a: NodeRecord, b: NodeRecord): boolean {
  const bytes = (record: NodeRecord) => codec.encode({ ...record, sequence: 0 })
  return Buffer.compare(bytes(a), bytes(b)) === 0
}
