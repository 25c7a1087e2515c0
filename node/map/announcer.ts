/**
 * Our own announcements, as records of the documents. What we announce is asserted to be what
 * every other member will accept; an announcement that is dominated already changes nothing.
 *
 * Everything that this start announced is remembered (up to a bound), to be said again should the
 * documents be discarded.
 */
import { isDeepStrictEqual } from 'node:util'
import { MAX_LINK_RECORDS, MAX_PATTERN_RECORDS } from '../../crdt/limits.ts'
import { linkGroup } from '../../crdt/link-records.ts'
import type { MeshRecord } from '../../crdt/mesh-document.ts'
import { meshRules, nameRecord, nodeRecord } from '../../crdt/mesh-document.ts'
import type { PatternRecord, Written, ZoneRecord } from '../../crdt/pattern-records.ts'
import { patternId } from '../../crdt/pattern-records.ts'
import { type PolicyRecord, policyOf } from '../../crdt/policy-records.ts'
import type { DeclaredPattern, NodeEntry, PlacementClaim, Tombstone } from '../../crdt/types.ts'
import type { VolumeRecord } from '../../crdt/volume-document.ts'
import { volumeRules } from '../../crdt/volume-document.ts'
import { assert } from '../../protocols/assert.ts'
import { type LinkFactor, linkPair } from '../../protocols/balance/links.ts'
import type { VolumeBalance } from '../../protocols/balance/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, PlacementEpoch, Token, VolumeId, VolumeSpec } from '../../protocols/ids.ts'
import { isName, isVolumeId, NO_TOKEN } from '../../protocols/ids.ts'
import { MAX_MAP_SESSION_RECORDS } from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { Documents } from './documents.ts'
import { notFound } from './resolve.ts'
import type { NewVolume, ShardMap } from './types.ts'

export interface AnnouncerOptions {
  readonly self: NodeId
  readonly clock: Clock
  readonly documents: Documents
}

type Announced =
  | { readonly of: 'mesh'; readonly record: MeshRecord }
  | { readonly of: 'volume'; readonly id: VolumeId; readonly record: VolumeRecord }

type Declared = PatternRecord | ZoneRecord | PolicyRecord

type Announcements = Pick<ShardMap, Extract<keyof ShardMap, `announce${string}` | 'rename'>>

export class Announcer implements Announcements {
  readonly #options: AnnouncerOptions
  readonly #session: Announced[] = []

  constructor(options: AnnouncerOptions) {
    this.#options = options
  }

  announceNode(entry: NodeEntry): void {
    assert(entry.id === this.#options.self, 'a node announces itself and no other')
    const record = nodeRecord(this.#options.documents.mesh.set, entry)
    if (record !== undefined) this.#addToMesh(record)
  }

  announceVolume(volume: NewVolume): void {
    const { spec, sizeBytes, epoch, nodes, expectedIops, near } = volume
    const extents = Math.ceil(sizeBytes / spec.extentBytes)
    const run = { from: 0, to: extents, generation: spec.generation, nodes, epoch }
    this.#addToVolume(spec.id, { kind: 'spec', spec, expectedIops, near })
    this.#addToVolume(spec.id, { kind: 'size', sizeBytes, epoch })
    this.#addToVolume(spec.id, { kind: 'layout', ...run })
    if (volume.zone !== undefined) this.announceZone(spec.id, volume.zone)
    if (volume.policy !== undefined) this.announcePolicy(spec.id, volume.policy)
    this.#addName(spec.id, volume.name)
  }

  rename(id: VolumeId, name: string): void {
    const said = this.#options.documents.mesh.set.greatest(`volume/${id}`)[0]?.record
    if (said?.kind !== 'name') throw notFound(id)
    this.#addName(id, name)
  }

  announceSize(id: VolumeId, sizeBytes: number, epoch: PlacementEpoch): void {
    this.#addToVolume(id, { kind: 'size', sizeBytes, epoch })
  }

  announceLayout(id: VolumeId, run: Parameters<ShardMap['announceLayout']>[1]): void {
    const generation = this.#options.documents.volumeView(id)?.spec.generation ?? 0
    const { from, to, nodes, epoch } = run
    this.#addToVolume(id, { kind: 'layout', from, to, generation, nodes, epoch })
  }

  announceClaims(spec: VolumeSpec, sizeBytes: number, claims: readonly PlacementClaim[]): void {
    if (this.#options.documents.volumeView(spec.id) === undefined) {
      const epoch = { token: NO_TOKEN, counter: 0 }
      this.#addToVolume(spec.id, { kind: 'spec', spec })
      this.#addToVolume(spec.id, { kind: 'size', sizeBytes, epoch })
    }
    for (const claim of claims) this.#addToVolume(spec.id, { kind: 'claim', ...claim })
  }

  announceHolder(id: VolumeId, token: Token, node: NodeId, since: number): void {
    this.#addToVolume(id, { kind: 'holder', token, node, since })
  }

  announcePattern(id: VolumeId, declared: DeclaredPattern): void {
    const { when, minutes, iops, bytesPerSecond } = declared
    const pattern = patternId(declared)
    assert(pattern !== undefined, 'a pattern is announced once its words were understood')
    const said = this.#declared(id, `pattern/${pattern}`)
    if (said?.kind === 'pattern' && !said.removed) return
    if (said === undefined) this.#refuseMorePatterns(id)
    this.#addToVolume(id, {
      kind: 'pattern',
      id: pattern,
      ...this.#versionAfter(said),
      removed: false,
      when,
      minutes,
      iops,
      bytesPerSecond
    })
  }

  announcePatternRemoval(id: VolumeId, pattern: string): void {
    const said = this.#declared(id, `pattern/${pattern}`)
    if (said?.kind !== 'pattern' || said.removed) return
    this.#addToVolume(id, { ...said, ...this.#versionAfter(said), removed: true })
  }

  announceZone(id: VolumeId, zone: string): void {
    const said = this.#declared(id, 'zone')
    if (said?.kind === 'zone' && said.zone === zone) return
    this.#addToVolume(id, { kind: 'zone', zone, ...this.#versionAfter(said) })
  }

  announcePolicy(id: VolumeId, policy: VolumeBalance): void {
    const said = this.#declared(id, 'policy')
    const old = said?.kind === 'policy' ? policyOf(said) : undefined
    const { regions } = policy
    const ordered = regions === undefined ? {} : { regions: [...new Set(regions)].sort() }
    const wanted = { ...policy, ...ordered }
    if (old !== undefined && isDeepStrictEqual(old, wanted)) return
    this.#addToVolume(id, { kind: 'policy', ...wanted, ...this.#versionAfter(said) })
  }

  announceLink(one: string, other: string, factor: LinkFactor | undefined): void {
    const pair = linkPair(one, other)
    const { set } = this.#options.documents.mesh
    const found = set.greatest(linkGroup(pair))[0]?.record
    const said = found?.kind === 'link' ? found : undefined
    if (said?.factor === factor) return
    if (said === undefined) refuseMore([...set.groupNames()], 'link/', LINK_RECORDS)
    this.#addToMesh({ kind: 'link', ...pair, ...this.#versionAfter(said), factor })
  }

  announceDelete(tombstone: Tombstone): void {
    const { id, token, at } = tombstone
    this.#addToMesh({ kind: 'tombstone', id, token, at })
    this.#options.documents.drop(id)
  }

  announceRevocation(peer: NodeId, signed: Uint8Array): void {
    this.#addToMesh({ kind: 'revocation', peer, signed })
  }

  /** Says again what this start announced. */
  announceAgain(): void {
    const { documents } = this.#options
    for (const said of this.#session) {
      if (said.of === 'mesh') documents.mesh.add([said.record])
      else if (!documents.isDeleted(said.id)) documents.keep(said.id).add([said.record])
    }
  }

  /** What the document of the volume says of a pattern, of the zone, or of its policy. */
  #declared(id: VolumeId, group: string): Declared | undefined {
    const said = this.#options.documents.volume(id)?.set.greatest(group)[0]?.record
    const isDeclared = said?.kind === 'pattern' || said?.kind === 'zone' || said?.kind === 'policy'
    return isDeclared ? said : undefined
  }

  #refuseMorePatterns(id: VolumeId): void {
    const groups = this.#options.documents.volume(id)?.set.groupNames() ?? []
    refuseMore([...groups], 'pattern/', PATTERN_RECORDS)
  }

  #versionAfter(said: Written | undefined): Written {
    return { counter: (said?.counter ?? 0) + 1, by: this.#options.self }
  }

  #addName(id: VolumeId, name: string): void {
    assert(isName(name), 'a volume is announced under a proper name')
    const { clock, documents, self } = this.#options
    const volume = { id, name, by: self, createdAt: clock.now() }
    const record = nameRecord(documents.mesh.set, volume)
    if (record !== undefined) this.#addToMesh(record)
  }

  #addToMesh(record: MeshRecord): void {
    const isValid = meshRules.decode(meshRules.encode(record)) !== undefined
    assert(isValid, `what we announce of the mesh is valid (${record.kind})`)
    this.#remember({ of: 'mesh', record })
    this.#options.documents.mesh.add([record])
  }

  /** Of a volume that was deleted meanwhile nothing is announced any more. */
  #addToVolume(id: VolumeId, record: VolumeRecord): void {
    const { documents } = this.#options
    const rules = volumeRules(id)
    const isValid = isVolumeId(id) && rules.decode(rules.encode(record)) !== undefined
    assert(isValid, `what we announce of a volume is valid (${record.kind})`)
    if (documents.isDeleted(id)) return
    this.#remember({ of: 'volume', id, record })
    documents.keep(id).add([record])
  }

  #remember(announced: Announced): void {
    if (this.#session.length < MAX_MAP_SESSION_RECORDS) this.#session.push(announced)
  }
}

interface Bound {
  readonly limit: string
  readonly most: number
  readonly words: string
}

const PATTERN_RECORDS: Bound = {
  limit: 'MAX_PATTERN_RECORDS',
  most: MAX_PATTERN_RECORDS,
  words: `the volume has had ${MAX_PATTERN_RECORDS} different patterns, as many as it keeps: declare one of them again`
}

const LINK_RECORDS: Bound = {
  limit: 'MAX_LINK_RECORDS',
  most: MAX_LINK_RECORDS,
  words: `the mesh has had costs for ${MAX_LINK_RECORDS} pairs of regions, as many as it keeps`
}

function refuseMore(groups: readonly string[], prefix: string, bound: Bound): void {
  if (groups.filter(name => name.startsWith(prefix)).length < bound.most) return
  throw new ShoalError({ code: 'LIMIT', limit: bound.limit }, bound.words)
}
