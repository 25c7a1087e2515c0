// Goal: every member sees the same patterns and zone of a volume, whoever declared and removed what at
// the same time; a record that breaks a rule never enters a document.
// Method: two documents that exchange updates, and records spoiled in one field each.
import { describe, expect, it } from 'vitest'
import { patternId, patternOf } from '../../crdt/pattern-records.ts'
import type { VolumeDocument, VolumeRecord } from '../../crdt/volume-document.ts'
import { createVolumeDocument, volumeRules, volumeView } from '../../crdt/volume-document.ts'
import { calendarOf } from '../../protocols/forecast/calendar.ts'
import { KiB } from '../../protocols/limits.ts'
import {
  epochOf,
  nodeIdOf,
  patternOf as record,
  specOf,
  volumeIdOf
} from '../support/map-records.ts'
import { pull } from '../support/map-replicas.ts'

const id = volumeIdOf(1)
const by = nodeIdOf(1)

function twoMembers(): [VolumeDocument, VolumeDocument] {
  const [a, b] = [createVolumeDocument(id, 11), createVolumeDocument(id, 12)]
  a.add([
    { kind: 'spec', spec: specOf(id) },
    { kind: 'size', sizeBytes: 4096, epoch: epochOf(1) }
  ])
  pull(b, a)
  return [a, b]
}

function meet(a: VolumeDocument, b: VolumeDocument): void {
  expect(pull(b, a).is).not.toBe('bad')
  expect(pull(a, b).is).not.toBe('bad')
  expect(volumeView(a)).toEqual(volumeView(b))
}

describe('declared patterns', () => {
  it('are none in a document of before', () => {
    const [a] = twoMembers()
    expect(volumeView(a)).toMatchObject({ zone: undefined, patterns: [] })
  })

  it('are one if two members declared the same at once', () => {
    const [a, b] = twoMembers()
    a.add([record(1, { counter: 1, by: nodeIdOf(1) }, false)])
    b.add([record(1, { counter: 1, by: nodeIdOf(2) }, false)])
    meet(a, b)
    expect(volumeView(a)?.patterns).toHaveLength(1)
  })

  it('go with a removal, whenever it arrives, and come back with a later record', () => {
    const [a, b] = twoMembers()
    b.add([record(1, { counter: 2, by }, true)])
    a.add([record(1, { counter: 1, by: nodeIdOf(9) }, false)])
    meet(a, b)
    expect(volumeView(b)?.patterns).toEqual([])
    a.add([record(1, { counter: 3, by }, false)])
    meet(a, b)
    expect(volumeView(b)?.patterns).toHaveLength(1)
  })

  it('are the same 64 everywhere when two halves of a mesh declared more', () => {
    const [a, b] = twoMembers()
    for (let n = 0; n < 50; n++) {
      a.add([record(n, { counter: 1, by }, false)])
      b.add([record(100 + n, { counter: 1, by }, false)])
    }
    meet(a, b)
    const ids = volumeView(a)?.patterns.map(pattern => pattern.id)
    expect(ids).toHaveLength(64)
    expect(ids).toEqual([...(ids ?? [])].sort())
  })

  it('are given to the forecast in units of load', () => {
    const declared = { when: 'mon-fri 02:00', minutes: 40, iops: 3000, bytesPerSecond: 320 * KiB }
    const pattern = patternOf(declared)
    expect(pattern).toEqual({ days: 0b11111, startMinute: 120, lengthMinutes: 40, extra: 3010 })
  })
})

describe('the zone', () => {
  it('is the one of the greatest counter, then of the greatest node', () => {
    const [a, b] = twoMembers()
    a.add([{ kind: 'zone', zone: 'UTC', counter: 1, by: nodeIdOf(2) }])
    b.add([{ kind: 'zone', zone: 'Asia/Tokyo', counter: 1, by: nodeIdOf(1) }])
    meet(a, b)
    expect(volumeView(b)?.zone).toBe('UTC')
    b.add([{ kind: 'zone', zone: 'Asia/Tokyo', counter: 2, by: nodeIdOf(1) }])
    meet(a, b)
    expect(volumeView(a)?.zone).toBe('Asia/Tokyo')
  })

  it('is carried even if this version of the zone data does not know it', () => {
    const [a, b] = twoMembers()
    a.add([{ kind: 'zone', zone: 'Mars/Olympus_Mons', counter: 1, by }])
    meet(a, b)
    expect(volumeView(b)?.zone).toBe('Mars/Olympus_Mons')
    expect(calendarOf('Mars/Olympus_Mons').zone).toBe('UTC')
    expect(calendarOf('Asia/Tokyo').localTime(0).minuteOfDay).toBe(9 * 60)
  })
})

describe('a record that breaks a rule', () => {
  const good = record(1, { counter: 1, by }, false)
  const zone: VolumeRecord = { kind: 'zone', zone: 'UTC', counter: 1, by }
  const declared = { when: 'daily 00:01', minutes: 40, iops: 3000, bytesPerSecond: 0 }

  it('is refused, field by field', () => {
    expect(decoded(good)).toEqual(good)
    expect(decoded(zone)).toEqual(zone)
    const spoiled: object[] = [
      { ...good, id: '0000000000000000' },
      { ...good, counter: -1 },
      { ...good, counter: 1.5 },
      { ...good, by: 'nobody' },
      { ...good, removed: 'no' },
      { ...good, removed: undefined },
      ...[{ when: 'daily\n00:01' }, { when: 'daily 00:01 ' }, { when: 'someday 00:01' }].map(
        part => ({
          ...good,
          ...part
        })
      ),
      { ...good, when: `daily${','.repeat(100)} 00:01` },
      { ...good, ...withId({ ...declared, minutes: 1441 }) },
      { ...good, ...withId({ ...declared, minutes: 0.5 }) },
      { ...good, ...withId({ ...declared, iops: 0 }) },
      { ...good, ...withId({ ...declared, iops: 1e10 }) },
      { ...good, ...withId({ ...declared, bytesPerSecond: 2 ** 50 }) },
      { ...zone, zone: 'a b' },
      { ...zone, zone: '' },
      { ...zone, zone: 'Europe/' },
      { ...zone, zone: 'x'.repeat(65) },
      { ...zone, by: 'nobody' }
    ]
    for (const one of spoiled)
      expect(decoded(one as VolumeRecord), JSON.stringify(one)).toBeUndefined()
  })

  function withId(wish: typeof declared) {
    return { ...wish, id: patternId(wish) ?? 'none' }
  }
})

function decoded(one: VolumeRecord): VolumeRecord | undefined {
  const rules = volumeRules(id)
  return rules.decode(rules.encode(one))
}
