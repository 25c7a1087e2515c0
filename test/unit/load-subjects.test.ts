// Goal: the keeper knows of every shard that is here and of how it is declared, and forgets history
// only with its volume or after it left. What is shown of the last seconds is of those seconds.
// Method: the real services on heads, views and a clock made by hand.
import { describe, expect, it } from 'vitest'
import type { DirectoryEntry, VolumeView } from '../../crdt/types.ts'
import { SHOWN_SECONDS, THRESHOLD_PART } from '../../node/limits.ts'
import { FiveMinutes } from '../../node/load/five-minutes.ts'
import { type KeeperTell, NODE_KEY } from '../../node/load/keeper-messages.ts'
import { Recent } from '../../node/load/recent.ts'
import { Sampler } from '../../node/load/sampler.ts'
import { Subjects } from '../../node/load/subjects.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { IDLE } from '../../protocols/load/record.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { meshOf } from '../support/load-mesh.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { FIRST_TOKEN, GATEWAY, run, spec, volumeId } from '../support/shard-harness.ts'

const VOLUME = volumeId(1)
const MiB = 2 ** 20

function headOf(id: VolumeId, extents: number): ShardHead {
  const runs = extents === 0 ? [] : [run(0, extents)]
  return {
    spec: spec(id, 2),
    sizeBytes: 16 * MiB,
    token: FIRST_TOKEN,
    writer: FIRST_TOKEN,
    holder: undefined,
    mover: undefined,
    runs,
    released: [],
    receiving: []
  }
}

class Rig {
  readonly told: KeeperTell[] = []
  shards: ShardHead[] = [headOf(VOLUME, 4)]
  view: Partial<VolumeView> = { zone: 'Europe/Paris', patterns: [] }
  capacity: number | undefined
  volumes = new Map([[VOLUME, {} as DirectoryEntry]])
  readonly subjects = new Subjects({
    zone: 'UTC',
    capacity: () => this.capacity,
    shards: () => this.shards,
    volume: () => this.view as VolumeView,
    mesh: () => ({ ...meshOf([]), volumes: this.volumes }),
    tell: message => void this.told.push(message)
  })

  looked(): KeeperTell[] {
    this.subjects.look()
    return this.told.splice(0)
  }

  settings(key: string = VOLUME) {
    const found = this.told.splice(0).find(one => 'key' in one && one.key === key)
    return found?.tell === 'subject' ? found.settings : undefined
  }
}

describe('subjects', () => {
  it('are told once, and all of them again to a keeper that knows nothing', () => {
    const rig = new Rig()
    rig.subjects.begin()
    const first = rig.told.splice(0)
    expect(first.map(one => 'key' in one && one.key)).toEqual([VOLUME, NODE_KEY])
    expect(rig.looked()).toEqual([])
    expect(rig.subjects.has(VOLUME)).toBe(true)
    rig.subjects.begin()
    expect(rig.told).toEqual(first)
  })

  it('are told anew when their zone, their patterns or their part of the volume changes', () => {
    const rig = new Rig()
    rig.subjects.begin()
    expect(rig.settings()?.zone).toBe('Europe/Paris')
    rig.view = { ...rig.view, zone: 'Nowhere/Land' }
    expect(rig.looked()).toMatchObject([{ key: VOLUME, settings: { zone: 'UTC' } }])
    const entry = { id: '0'.repeat(16), when: 'mon-fri 02:00', minutes: 40 }
    const patterns = [{ ...entry, iops: 800, bytesPerSecond: 0 }]
    rig.view = { ...rig.view, patterns }
    rig.subjects.look()
    // Four of the 32 chunks of 16 extents in two columns.
    const extra = rig.settings()?.patterns[0]?.extra ?? 0
    expect(extra).toBeCloseTo(800 / 8)
    rig.shards = [headOf(VOLUME, 8)]
    rig.subjects.look()
    expect(rig.told).toHaveLength(2)
    expect(rig.settings()?.patterns[0]?.extra).toBeCloseTo(2 * extra)
    rig.subjects.begin()
    expect(rig.settings(NODE_KEY)?.patterns).toHaveLength(1)
  })

  it('have a part of the capacity as their threshold once it was measured', () => {
    const rig = new Rig()
    rig.subjects.begin()
    expect(rig.settings()?.threshold).toBe('usual')
    rig.capacity = 1000
    const threshold = { load: 1000 * THRESHOLD_PART, from: 'capacity' }
    expect(rig.looked()).toMatchObject([{ settings: { threshold } }, { settings: { threshold } }])
  })

  it('lose their history with their volume, not with their last chunk', () => {
    const rig = new Rig()
    rig.subjects.begin()
    rig.told.splice(0)
    rig.shards = [headOf(VOLUME, 0)]
    expect(rig.looked()).toEqual([{ tell: 'gone', key: VOLUME, forget: false }])
    expect(rig.subjects.has(VOLUME)).toBe(false)
    expect(rig.looked()).toEqual([])
    rig.volumes.clear()
    expect(rig.looked()).toEqual([{ tell: 'gone', key: VOLUME, forget: true }])
    expect(rig.looked()).toEqual([])
  })

  it('lose it at once when the volume is deleted, or when all of it went after the data', () => {
    const rig = new Rig()
    rig.subjects.begin()
    rig.shards = []
    rig.subjects.look()
    rig.told.splice(0)
    rig.subjects.forget(VOLUME)
    expect(rig.told.splice(0)).toEqual([{ tell: 'gone', key: VOLUME, forget: true }])
    rig.shards = [headOf(VOLUME, 1)]
    rig.subjects.look()
    rig.told.splice(0)
    rig.shards = []
    rig.volumes.clear()
    expect(rig.looked()).toEqual([{ tell: 'gone', key: VOLUME, forget: true }])
  })
})

describe('a shard whose history went after its data', () => {
  const posted = (): ShardHead => ({
    ...headOf(VOLUME, 0),
    released: [{ run: run(0, 4), to: GATEWAY }]
  })

  it('is forgotten with its last sign-post, unless a chunk came back', () => {
    const rig = new Rig()
    rig.subjects.begin()
    rig.shards = [posted()]
    rig.looked()
    rig.subjects.forget(VOLUME)
    expect(rig.looked()).toEqual([])
    rig.shards = [headOf(VOLUME, 1)]
    rig.looked()
    rig.shards = [headOf(VOLUME, 0)]
    expect(rig.looked()).toEqual([{ tell: 'gone', key: VOLUME, forget: false }])
    rig.shards = [posted()]
    rig.looked()
    rig.subjects.forget(VOLUME)
    rig.shards = []
    expect(rig.looked()).toEqual([{ tell: 'gone', key: VOLUME, forget: true }])
  })
})

describe('the load of now', () => {
  const reads = (count: number, key: string = VOLUME) => ({
    key,
    record: { ...IDLE, reads: count }
  })

  it('is the mean of the last seconds, idle ones too, and of no others', () => {
    const recent = new Recent()
    expect(recent.of(VOLUME)).toEqual(IDLE)
    recent.add(1, [reads(10)])
    expect(recent.of(VOLUME).reads).toBe(10)
    recent.add(2, [])
    expect(recent.of(VOLUME).reads).toBe(5)
    for (let second = 3; second <= SHOWN_SECONDS; second++) recent.add(second, [])
    expect(recent.of(VOLUME).reads).toBeCloseTo(10 / SHOWN_SECONDS)
    recent.add(SHOWN_SECONDS + 1, [reads(3, 'other')])
    expect(recent.of(VOLUME)).toEqual(IDLE)
    expect(recent.of('other').reads).toBeCloseTo(3 / SHOWN_SECONDS)
  })

  it('is sampled once a second, under the name of the second that ended', async () => {
    const clock = new MicroClock()
    await clock.run(300)
    const taken: number[] = []
    const sampler = new Sampler(clock, second => taken.push(second - clock.now() / 1000))
    sampler.start()
    await clock.run(5000)
    expect(taken).toEqual(new Array(5).fill(expect.closeTo(-1.02, 5)))
    clock.stall(3500)
    await clock.run(1000)
    expect(taken.length).toBeGreaterThanOrEqual(6)
    expect(taken.every(ahead => ahead <= -1 && ahead > -2.1)).toBe(true)
    sampler.stop()
    const { length } = taken
    await clock.run(5000)
    expect(taken).toHaveLength(length)
  })
})

describe('minutes as steps', () => {
  it('leave with their last minute, or with the first of another step', () => {
    const five = new FiveMinutes()
    const steps = [10, 11, 12, 13].flatMap(minute => five.add(minute, minute))
    expect(steps).toEqual([])
    expect(five.add(14, 14)).toEqual([{ number: 2, load: 12 }])
    expect(five.add(15, 100)).toEqual([])
    expect(five.add(17, 200)).toEqual([])
    expect(five.add(31, 7)).toEqual([{ number: 3, load: 150 }])
    // The last minute of a step alone, after a gap in another: both leave.
    expect(five.add(39, 9)).toEqual([
      { number: 6, load: 7 },
      { number: 7, load: 9 }
    ])
    // The clock is set back.
    expect(five.add(20, 1)).toEqual([])
    expect(five.add(50, 1)).toEqual([{ number: 4, load: 1 }])
  })
})
