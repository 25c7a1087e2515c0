// Goal: the keeper hears of every shard once, and a shard's history is not forgotten before what
// left it has taken its part along.
// Method: heads of a shard as a store has them during a move, and what is told after each change.
import { expect, it } from 'vitest'
import type { KeeperTell } from '../../node/load/keeper-messages.ts'
import { Subjects } from '../../node/load/subjects.ts'
import type { HandoffId } from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { meshOf } from '../support/load-mesh.ts'
import { FIRST_TOKEN, GATEWAY, run, spec, volumeId } from '../support/shard-harness.ts'

const V = volumeId(1)
const HANDOFF = '0123456789abcdef0123456789abcdef' as HandoffId
const HELD: ShardHead = {
  spec: spec(V, 1),
  sizeBytes: spec(V, 1).extentBytes,
  token: FIRST_TOKEN,
  writer: FIRST_TOKEN,
  holder: undefined,
  mover: undefined,
  runs: [run(0, 1)],
  released: [],
  receiving: []
}

it('a shard is gone when its last sign-post is, and not while a release is unconfirmed', () => {
  let shards: ShardHead[] = []
  const told: KeeperTell[] = []
  const subjects = new Subjects({
    zone: 'UTC',
    capacity: () => undefined,
    shards: () => shards,
    volume: () => undefined,
    mesh: () => meshOf([]),
    tell: message => told.push(message)
  })
  const after = (head: ShardHead | undefined): string[] => {
    shards = head === undefined ? [] : [head]
    told.length = 0
    subjects.look()
    return told.map(message => `${message.tell} ${'key' in message ? message.key : ''}`)
  }
  expect(after(HELD)).toEqual([`subject ${V}`, 'subject node'])
  expect(after(HELD)).toEqual([])
  const released = { run: run(0, 1), to: GATEWAY, handoff: HANDOFF }
  expect(after({ ...HELD, runs: [], released: [released] })).toEqual([])
  const post = { run: run(0, 1), to: GATEWAY }
  expect(after({ ...HELD, runs: [], released: [post] })).toEqual([])
  expect(after({ ...HELD, runs: [] })).toEqual([`gone ${V}`])
  expect(after(undefined)).toEqual([])
  told.length = 0
  subjects.begin()
  expect(told).toMatchObject([{ tell: 'subject', key: 'node' }])
})
