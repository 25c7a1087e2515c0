// Goal: every member sees the same policy of a volume and the same costs of links, whoever set them at
// the same time; a record that breaks a bound never enters a document; documents of before are read.
// Method: two documents that exchange updates, records spoiled in one field each, bytes of before.
import { decode, encode } from 'cborg'
import { describe, expect, it } from 'vitest'
import type { MeshDocument, MeshRecord } from '../../crdt/mesh-document.ts'
import { createMeshDocument, meshRules, meshView } from '../../crdt/mesh-document.ts'
import type { VolumeDocument, VolumeRecord } from '../../crdt/volume-document.ts'
import { createVolumeDocument, volumeRules, volumeView } from '../../crdt/volume-document.ts'
import { linkFactor } from '../../protocols/balance/links.ts'
import { OLD_MESH, OLD_VOLUME } from '../support/map-old-documents.ts'
import { epochOf, nodeIdOf, specOf, volumeIdOf } from '../support/map-records.ts'
import { deliver, pull } from '../support/map-replicas.ts'

const id = volumeIdOf(1)
const [low, high] = [nodeIdOf(1), nodeIdOf(2)]

function twoVolumes(): [VolumeDocument, VolumeDocument] {
  const [a, b] = [createVolumeDocument(id, 11), createVolumeDocument(id, 12)]
  a.add([
    { kind: 'spec', spec: specOf(id) },
    { kind: 'size', sizeBytes: 4096, epoch: epochOf(1) }
  ])
  pull(b, a)
  return [a, b]
}

function policyAfterMeeting(a: VolumeDocument, b: VolumeDocument) {
  expect(pull(b, a).is).not.toBe('bad')
  expect(pull(a, b).is).not.toBe('bad')
  expect(volumeView(a)).toEqual(volumeView(b))
  return volumeView(a)?.policy
}

function linksAfterMeeting(a: MeshDocument, b: MeshDocument) {
  expect(pull(b, a).is).not.toBe('bad')
  expect(pull(a, b).is).not.toBe('bad')
  expect(meshView(a).links).toEqual(meshView(b).links)
  return meshView(a).links
}

describe('the policy of a volume', () => {
  it('is balancing as its nodes say in a document of before', () => {
    const document = createVolumeDocument(id, 5)
    expect(deliver(document, Buffer.from(OLD_VOLUME, 'base64')).is).toBe('good')
    expect(volumeView(document)).toMatchObject({ zone: 'Europe/Berlin', policy: { isOn: true } })
  })

  it('is the one of the greatest counter, whoever wrote it, then of the greatest node', () => {
    const [a, b] = twoVolumes()
    a.add([{ kind: 'policy', isOn: true, maxIops: 100, counter: 2, by: low }])
    b.add([{ kind: 'policy', isOn: false, counter: 1, by: high }])
    expect(policyAfterMeeting(a, b)).toEqual({ isOn: true, maxIops: 100 })
    a.add([{ kind: 'policy', isOn: true, maxIops: 300, counter: 3, by: low }])
    b.add([{ kind: 'policy', isOn: true, regions: ['east', 'west'], counter: 3, by: high }])
    expect(policyAfterMeeting(a, b)).toEqual({ isOn: true, regions: ['east', 'west'] })
  })

  it('is refused, field by field, if it breaks a bound', () => {
    const good = {
      kind: 'policy' as const,
      counter: 1,
      by: low,
      isOn: true,
      regions: ['east', 'west'],
      maxRttMs: 2.5,
      horizonMinutes: 120,
      thresholdPart: 0.5,
      maxIops: 1,
      movesPerHour: 0,
      bytesPerHour: 1
    }
    const rules = volumeRules(id)
    const decoded = (one: object) => rules.decode(rules.encode(one as VolumeRecord))
    expect(decoded(good)).toEqual(good)
    const spoiled: object[] = [
      { counter: -1 },
      { counter: 0.5 },
      { by: 'nobody' },
      { isOn: undefined },
      { isOn: 1 },
      { regions: [] },
      { regions: ['west', 'east'] },
      { regions: ['east', 'east'] },
      { regions: ['not a name'] },
      { regions: Array.from({ length: 65 }, (_, n) => `r${100 + n}`) },
      { maxRttMs: 0 },
      { maxRttMs: 60_001 },
      { horizonMinutes: 14 },
      { horizonMinutes: 1441 },
      { horizonMinutes: 20.5 },
      { thresholdPart: 0 },
      { thresholdPart: 1.01 },
      { maxIops: 0 },
      { maxIops: 1.5 },
      { maxIops: 1e10 },
      { movesPerHour: -1 },
      { movesPerHour: 1.5 },
      { movesPerHour: 1001 },
      { bytesPerHour: -1 },
      { bytesPerHour: 1.5 },
      { bytesPerHour: 2 ** 53 }
    ]
    for (const part of spoiled) {
      expect(decoded({ ...good, ...part }), JSON.stringify(part)).toBeUndefined()
    }
  })

  it('is the bytes of before without a budget, and has one encoding with it', () => {
    const rules = volumeRules(id)
    const before = ['policy', 1, low, true, null, null, null, null, 5]
    const policy = { kind: 'policy' as const, counter: 1, by: low, isOn: true, maxIops: 5 }
    const encoded = (budget: object) => decode(rules.encode({ ...policy, ...budget }))
    expect(encoded({})).toEqual(before)
    expect(encoded({ movesPerHour: 3 })).toEqual([...before, 3])
    expect(encoded({ bytesPerHour: 4 })).toEqual([...before, null, 4])
    const decoded = (...more: unknown[]) => rules.decode(encode([...before, ...more]))
    expect(decoded()).toEqual(policy)
    expect(decoded(3)).toEqual({ ...policy, movesPerHour: 3 })
    expect(decoded(null, 4)).toEqual({ ...policy, bytesPerHour: 4 })
    for (const more of [[null], [3, null], [null, null], [3, 4, 5], [3, 4, null]]) {
      expect(decoded(...more), JSON.stringify(more)).toBeUndefined()
    }
    const [a, b] = twoVolumes()
    a.add([{ ...policy, movesPerHour: 3, bytesPerHour: 4 }])
    const met = { isOn: true, maxIops: 5, movesPerHour: 3, bytesPerHour: 4 }
    expect(policyAfterMeeting(a, b)).toEqual(met)
  })
})

describe('the costs of links', () => {
  const link = { kind: 'link' as const, a: 'east', b: 'west', by: low }

  it('are the defaults in a document of before', () => {
    const document = createMeshDocument(5)
    expect(deliver(document, Buffer.from(OLD_MESH, 'base64')).is).toBe('good')
    const { links, volumes } = meshView(document)
    expect([volumes.size, links]).toEqual([1, []])
    expect([linkFactor(links, 'east', 'west'), linkFactor(links, 'east', 'east')]).toEqual([1, 0])
  })

  it('are those of the greatest counter of each pair, in whichever order it is named', () => {
    const [a, b] = [createMeshDocument(11), createMeshDocument(12)]
    a.add([{ ...link, factor: 3, counter: 2 }])
    b.add([{ ...link, factor: 'never', counter: 1, by: high }])
    b.add([{ ...link, a: 'east', b: 'north', factor: 0, counter: 1 }])
    const links = linksAfterMeeting(a, b)
    expect(linkFactor(links, 'west', 'east')).toBe(3)
    expect(linkFactor(links, 'north', 'east')).toBe(0)
    b.add([{ ...link, counter: 3 }])
    expect(linksAfterMeeting(a, b)).toEqual([{ a: 'east', b: 'north', factor: 0 }])
  })

  it('have room for the longest names', () => {
    const [a, b] = ['x'.repeat(62).concat('a'), 'x'.repeat(62).concat('b')]
    const document = createMeshDocument(11)
    const counter = Number.MAX_SAFE_INTEGER - 1
    document.add([{ ...link, a, b, counter, factor: 'never' }])
    expect(linkFactor(meshView(document).links, b, a)).toBe('never')
  })

  it('are refused if they break a bound', () => {
    const good = { ...link, factor: 1000, counter: 1 }
    const decoded = (one: object) => meshRules.decode(meshRules.encode(one as MeshRecord))
    expect(decoded(good)).toEqual(good)
    const spoiled: object[] = [
      { a: 'west', b: 'east' },
      { a: 'not a name' },
      { factor: -1 },
      { factor: 1001 },
      { factor: 'always' },
      { counter: -1 },
      { by: 'nobody' }
    ]
    for (const part of spoiled) {
      expect(decoded({ ...good, ...part }), JSON.stringify(part)).toBeUndefined()
    }
  })
})
