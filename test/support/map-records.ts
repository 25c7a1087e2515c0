/** Records and ids for tests of the map, made from small numbers. */
import type { MeshRecord } from '../../crdt/mesh-document.ts'
import { patternId } from '../../crdt/pattern-records.ts'
import type { VolumeRecord } from '../../crdt/volume-document.ts'
import type {
  NodeId,
  Nonce,
  PlacementEpoch,
  Token,
  VolumeId,
  VolumeSpec
} from '../../protocols/ids.ts'
import { MiB } from '../../protocols/limits.ts'

export function nodeIdOf(n: number): NodeId {
  const digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
  return `12D3KooW${'x'.repeat(40)}${digits[Math.floor(n / 58) % 58]}${digits[n % 58]}` as NodeId
}

export function volumeIdOf(n: number): VolumeId {
  return n.toString(16).padStart(32, '0') as VolumeId
}

export function nonceOf(n: number): Nonce {
  return n.toString(16).padStart(16, '0') as Nonce
}

export function tokenOf(counter: number, attach = 1): Token {
  return { counter, attach: nonceOf(attach) }
}

export function epochOf(counter: number, attach = 1, placement = 0): PlacementEpoch {
  return { token: tokenOf(counter, attach), counter: placement }
}

export function specOf(id: VolumeId, columns = 1): VolumeSpec {
  return {
    id,
    extentBytes: 64 * MiB,
    stripeUnitBytes: 65_536,
    columns,
    copies: 1,
    generation: 0
  }
}

export function nameRecordOf(volume: number, name: string, counter: number, by = 1): MeshRecord {
  return { kind: 'name', id: volumeIdOf(volume), name, counter, by: nodeIdOf(by), createdAt: 1 }
}

export function nodeRecordOf(node: number, number: number, sequence = 0): MeshRecord {
  return {
    kind: 'node',
    id: nodeIdOf(node),
    number,
    nonce: nonceOf(number),
    sequence,
    name: `node-${node}`,
    region: 'north',
    host: `host-${node}`,
    role: 'node',
    capacityBytes: 1024 * MiB,
    addresses: [`/ip4/10.0.0.${node % 250}/tcp/4000`],
    version: '0.1.0'
  }
}

export function tombstoneOf(volume: number, counter: number, at = 1): MeshRecord {
  return { kind: 'tombstone', id: volumeIdOf(volume), token: tokenOf(counter), at }
}

export function claimOf(extent: number, epoch: PlacementEpoch, node: number): VolumeRecord {
  const chunk = { extent, generation: 0, column: 0, replica: 0 }
  return { kind: 'claim', ...chunk, epoch, node: nodeIdOf(node) }
}

/** The n-th of patterns that differ in when they begin. */
export function patternOf(
  n: number,
  version: { counter: number; by: NodeId },
  removed: boolean
): VolumeRecord {
  const when = `daily ${String(Math.floor(n / 60)).padStart(2, '0')}:${String(n % 60).padStart(2, '0')}`
  const declared = { when, minutes: 40, iops: 3000, bytesPerSecond: 0 }
  const id = patternId(declared)
  if (id === undefined) throw new Error(`${when} is no pattern`)
  return { kind: 'pattern', id, ...version, removed, ...declared }
}

/** The n-th of five policies. */
export function policyOf(n: number, version: { counter: number; by: NodeId }): VolumeRecord {
  const settings = [
    { isOn: true },
    { isOn: false, maxIops: 500 },
    { isOn: true, regions: ['east', 'west'], maxRttMs: 12.5 },
    { isOn: true, horizonMinutes: 120, thresholdPart: 0.5 },
    { isOn: true, movesPerHour: 0, bytesPerHour: 1024 }
  ]
  return { kind: 'policy', ...version, isOn: true, ...settings[n % settings.length] }
}

export function layoutOf(
  from: number,
  to: number,
  epoch: PlacementEpoch,
  node: number
): VolumeRecord {
  return { kind: 'layout', from, to, generation: 0, nodes: [[nodeIdOf(node)]], epoch }
}
