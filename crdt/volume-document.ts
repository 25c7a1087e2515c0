/**
 * The document of one volume: its spec, size, layout, placement claims and last holder.
 *
 *   spec                    what never changes while a layout generation lasts
 *   size                    by epoch; of one epoch the greater size
 *   layout/<gen>            runs of extents; a run dominates a lesser one that lies within it
 *   claim/<e>.<g>.<c>.<r>   who holds a chunk replica, by epoch
 *   holder                  the last announced attach, by token; for people
 *   pattern/<id>, zone      declared load (pattern-records.ts)
 *   policy                  what people set for its balancing (policy-records.ts)
 *
 * Layout runs may overlap; the view cuts them so that each extent is said by the greatest epoch.
 */
import { z } from 'zod'
import type { NodeId, PlacementEpoch, Token, VolumeId, VolumeSpec } from '../protocols/ids.ts'
import { compareEpochs, compareTokens, isCounter, isNodeId, isNonce } from '../protocols/ids.ts'
import {
  BLOCK_BYTES,
  MAX_COLUMNS,
  MAX_COPIES,
  MAX_COUNTER,
  MAX_VOLUME_BYTES
} from '../protocols/limits.ts'
import { specSchema } from '../protocols/shard-control/messages.ts'
import type { Claim, Rules } from './claim-set.ts'
import { ClaimSet } from './claim-set.ts'
import { MAX_EXTENT, MAX_IOPS, MAX_LAYOUT_GENERATION, MAX_VERSION_CHARS } from './limits.ts'
import {
  compareDeclared,
  compareWritten,
  livePatterns,
  type PatternRecord,
  patternKinds,
  type ZoneRecord
} from './pattern-records.ts'
import { type PolicyRecord, policyKind, policyOf, UNSAID_POLICY } from './policy-records.ts'
import { recordCodec } from './record-codec.ts'
import type { LayoutRun, PlacementClaim, VolumeView } from './types.ts'

export interface SpecRecord {
  readonly kind: 'spec'
  readonly spec: VolumeSpec
  readonly expectedIops?: number | undefined
  readonly near?: string | undefined
}

export interface SizeRecord {
  readonly kind: 'size'
  readonly sizeBytes: number
  readonly epoch: PlacementEpoch
}

export interface LayoutRecord extends LayoutRun {
  readonly kind: 'layout'
}

export interface ClaimRecord extends PlacementClaim {
  readonly kind: 'claim'
}

export interface HolderRecord {
  readonly kind: 'holder'
  readonly token: Token
  readonly node: NodeId
  readonly since: number
}

export type VolumeRecord =
  | SpecRecord
  | SizeRecord
  | LayoutRecord
  | ClaimRecord
  | HolderRecord
  | PatternRecord
  | ZoneRecord
  | PolicyRecord
export type VolumeDocument = ClaimSet<VolumeRecord>

const counter = z.custom<number>(isCounter)
const nodeId = z.custom<NodeId>(isNodeId)
const token = z.strictObject({ counter, attach: z.custom<string>(isNonce) })
const epoch = z.strictObject({ token, counter })
const within = (min: number, max: number) => z.number().int().min(min).max(max)

const SPEC_FIELDS = ['extentBytes', 'stripeUnitBytes', 'columns', 'copies', 'generation']

const codec = recordCodec<VolumeRecord>([
  {
    kind: 'spec',
    fields: ['spec', 'expectedIops', 'near'],
    schema: z.strictObject({
      kind: z.literal('spec'),
      spec: z.preprocess(specOfMap, specSchema),
      expectedIops: z.number().min(0).max(MAX_IOPS).optional(),
      near: z
        .string()
        .max(MAX_VERSION_CHARS)
        .regex(/^[A-Za-z0-9._-]+$/)
        .optional()
    })
  },
  {
    kind: 'size',
    fields: ['sizeBytes', 'epoch'],
    schema: z.strictObject({
      kind: z.literal('size'),
      sizeBytes: within(BLOCK_BYTES, MAX_VOLUME_BYTES).multipleOf(BLOCK_BYTES),
      epoch
    })
  },
  {
    kind: 'layout',
    fields: ['from', 'to', 'generation', 'nodes', 'epoch'],
    schema: z
      .strictObject({
        kind: z.literal('layout'),
        from: within(0, MAX_EXTENT),
        to: within(1, MAX_EXTENT),
        generation: within(0, MAX_LAYOUT_GENERATION),
        nodes: z.array(z.array(nodeId).min(1).max(MAX_COPIES)).min(1).max(MAX_COLUMNS),
        epoch
      })
      .refine(run => run.from < run.to)
  },
  {
    kind: 'claim',
    fields: ['extent', 'generation', 'column', 'replica', 'epoch', 'node'],
    schema: z.strictObject({
      kind: z.literal('claim'),
      extent: within(0, MAX_EXTENT),
      generation: within(0, MAX_LAYOUT_GENERATION),
      column: within(0, MAX_COLUMNS - 1),
      replica: within(0, MAX_COPIES - 1),
      epoch,
      node: nodeId
    })
  },
  {
    kind: 'holder',
    fields: ['token', 'node', 'since'],
    schema: z.strictObject({
      kind: z.literal('holder'),
      token,
      node: nodeId,
      since: z.number().min(0).max(MAX_COUNTER)
    })
  },
  ...patternKinds,
  policyKind
])

/** The rules of the document of volume `id`: the spec must be its own. */
export function volumeRules(id: VolumeId): Rules<VolumeRecord> {
  return {
    encode: codec.encode,
    decode: bytes => {
      const record = codec.decode(bytes)
      return record?.kind === 'spec' && record.spec.id !== id ? undefined : record
    },
    group: groupOf,
    version: versionOf,
    dominates
  }
}

export function createVolumeDocument(id: VolumeId, clientId: number): VolumeDocument {
  return new ClaimSet(volumeRules(id), { clientId })
}

/** What the document says; undefined until it says a spec and a size. */
export function volumeView(document: VolumeDocument): VolumeView | undefined {
  const spec = document.greatest('spec')[0]?.record
  const size = document.greatest('size')[0]?.record
  if (spec?.kind !== 'spec' || size?.kind !== 'size') return undefined
  const claims: PlacementClaim[] = []
  const runs: Array<Claim<VolumeRecord>> = []
  const patterns: PatternRecord[] = []
  for (const claim of document.claims()) {
    if (claim.record.kind === 'layout') runs.push(claim)
    if (claim.record.kind === 'claim') claims.push(placementOf(claim.record))
    if (claim.record.kind === 'pattern') patterns.push(claim.record)
  }
  const holder = document.greatest('holder')[0]?.record
  const zone = document.greatest('zone')[0]?.record
  const policy = document.greatest('policy')[0]?.record
  return {
    spec: spec.spec,
    sizeBytes: size.sizeBytes,
    sizeEpoch: size.epoch,
    layout: flatten(runs),
    claims: claims.sort(byChunk),
    holder:
      holder?.kind === 'holder'
        ? { token: holder.token, node: holder.node, since: holder.since }
        : undefined,
    expectedIops: spec.expectedIops,
    near: spec.near,
    zone: zone?.kind === 'zone' ? zone.zone : undefined,
    patterns: livePatterns(patterns),
    policy: policy?.kind === 'policy' ? policyOf(policy) : UNSAID_POLICY
  }
}

/** Equal documents give equal views, in whatever order they learned. */
function byChunk(a: PlacementClaim, b: PlacementClaim): number {
  return (
    a.generation - b.generation ||
    a.extent - b.extent ||
    a.column - b.column ||
    a.replica - b.replica
  )
}

function groupOf(record: VolumeRecord): string {
  if (record.kind === 'layout') return `layout/${record.generation}`
  if (record.kind === 'pattern') return `pattern/${record.id}`
  if (record.kind !== 'claim') return record.kind
  return `claim/${record.extent}.${record.generation}.${record.column}.${record.replica}`
}

function versionOf(record: VolumeRecord): string {
  switch (record.kind) {
    case 'spec':
      return `${record.spec.generation}`
    case 'layout':
      return `${record.from}-${record.to}/${epochText(record.epoch)}`
    case 'holder':
      return `${record.token.counter}.${record.token.attach}`
    case 'pattern':
    case 'zone':
    case 'policy':
      return `${record.counter}.${record.by}`
    default:
      return epochText(record.epoch)
  }
}

function epochText(value: PlacementEpoch): string {
  return `${value.token.counter}.${value.token.attach}.${value.counter}`
}

function dominates(a: Claim<VolumeRecord>, b: Claim<VolumeRecord>): boolean {
  if (a.record.kind === 'layout' && b.record.kind === 'layout') {
    if (a.record.from > b.record.from || a.record.to < b.record.to) return false
  }
  return compareClaims(a, b) > 0
}

/** The order of two claims of one group: version first, then content (the key ends in its hash). */
function compareClaims(a: Claim<VolumeRecord>, b: Claim<VolumeRecord>): number {
  return compareVersions(a.record, b.record) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
}

function compareVersions(a: VolumeRecord, b: VolumeRecord): number {
  if (a.kind === 'spec' && b.kind === 'spec') return a.spec.generation - b.spec.generation
  if (a.kind === 'holder' && b.kind === 'holder') {
    return compareTokens(a.token, b.token) || a.since - b.since
  }
  if ((a.kind === 'pattern' || a.kind === 'zone') && (b.kind === 'pattern' || b.kind === 'zone')) {
    return compareDeclared(a, b)
  }
  if (a.kind === 'policy' && b.kind === 'policy') return compareWritten(a, b)
  if (a.kind === 'size' && b.kind === 'size') {
    return compareEpochs(a.epoch, b.epoch) || a.sizeBytes - b.sizeBytes
  }
  if ((a.kind === 'layout' || a.kind === 'claim') && a.kind === b.kind) {
    return compareEpochs(a.epoch, b.epoch)
  }
  return 0
}

/** Disjoint runs in order of (generation, extent): each extent as the greatest claim says it. */
function flatten(claims: Array<Claim<VolumeRecord>>): LayoutRun[] {
  const flat: LayoutRun[] = []
  for (const { record } of claims.sort((a, b) => compareClaims(b, a))) {
    if (record.kind !== 'layout') continue
    const { kind: _kind, ...run } = record
    let pieces: LayoutRun[] = [run]
    for (const greater of flat) pieces = pieces.flatMap(piece => cutOut(piece, greater))
    flat.push(...pieces)
  }
  return flat.sort((a, b) => a.generation - b.generation || a.from - b.from)
}

/** What of `run` lies outside of `hole`. */
function cutOut(run: LayoutRun, hole: LayoutRun): LayoutRun[] {
  if (hole.generation !== run.generation || hole.to <= run.from || run.to <= hole.from) return [run]
  const pieces: LayoutRun[] = []
  if (run.from < hole.from) pieces.push({ ...run, to: hole.from })
  if (hole.to < run.to) pieces.push({ ...run, from: hole.to })
  return pieces
}

function placementOf(record: ClaimRecord): PlacementClaim {
  const { kind: _kind, ...claim } = record
  return claim
}

/** The codec reads maps as Map (so that no name is special); the spec is the one record inside. */
function specOfMap(value: unknown): unknown {
  if (!(value instanceof Map)) return undefined
  const spec: Array<[string, unknown]> = []
  for (const field of ['id', ...SPEC_FIELDS]) spec.push([field, value.get(field)])
  return value.size === spec.length ? Object.fromEntries(spec) : undefined
}
