// Goal: people see what nodes move by themselves and why, may stop and steer it on one node or all,
// and are told who did not answer; a move is told while one of its two ends is there.
// Method: the real commands over a real control socket, on a mesh in memory whose receipts are on
// disks in memory; what a node says of its balancing is what the test tells it to say.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { GiB, MiB } from '../../protocols/limits.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'
import { type Run, Terminal } from '../support/cli-terminal.ts'
import { outcomeMade, receiptMade } from '../support/receipts-made.ts'

const MINUTE_MS = 60_000
const ID = '3fa9c2d01b7e'

let mesh: CliMesh & { gate: CliNode }
let id: VolumeId
let west: CliNode
let north: CliNode
let east: CliNode
let terminal: Terminal

beforeEach(async () => {
  mesh = await smallMesh()
  const node = (name: string): CliNode => {
    const found = mesh.nodes.get(name)
    if (found === undefined) throw new Error(`no node ${name}`)
    return found
  }
  west = node('west')
  north = node('north')
  east = node('east')
  id = (await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, near: 'west', shards: 1 })).id
  await until(() => [west, north, east].every(one => one.context.map.mesh().volumes.has(id)))
  await until(() => west.context.map.volume(id) !== undefined)
  terminal = await Terminal.open(mesh.gate)
})
afterEach(async () => {
  await terminal.close()
  await mesh.close()
})

const shoal = (line: string): Promise<Run> => terminal.run(line.split(' '))

const excess = {
  subject: 'node',
  threshold: 800,
  highAtMs: Date.now() + 45 * MINUTE_MS,
  expectedPeak: 930,
  highPeak: 1240,
  volume: 120_000,
  overMs: 35 * MINUTE_MS,
  horizonMs: 60 * MINUTE_MS
} as const

/** A move of three chunks of web, from west to north, kept by both. */
function keep(more: Partial<Receipt> = {}): Receipt {
  const decidedAt = Date.now() - 30 * MINUTE_MS
  const receipt = receiptMade({
    source: west.id,
    target: north.id,
    volume: id,
    decidedAt,
    startedAt: decidedAt + MINUTE_MS,
    endedAt: decidedAt + 2 * MINUTE_MS,
    alternatives: [
      {
        node: north.id,
        is: 'chosen',
        why: '',
        bid: { headroom: 390, addedExcess: 0, freeBytes: GiB, rttMs: 2.1 },
        score: 1.5
      },
      { node: east.id, is: 'declined', why: 'it has promised too much', score: 7 }
    ],
    ...more
  })
  west.journal?.receipts.book.put({ receipt, isTold: true })
  const own = receipt.alternatives.slice(0, 1)
  const there: Receipt = { ...receipt, keptBy: 'target', alternatives: own }
  north.journal?.receipts.book.put({ receipt: there, isTold: true })
  return receipt
}

describe('shoal balance status', () => {
  it('shows settings, budget, what is expected, under way and promised, and the score', async () => {
    west.balance.settings = { ...west.balance.settings, bytesPerHour: GiB, regions: ['eu-north'] }
    west.balance.said = {
      load: 930,
      capacity: 1000,
      threshold: 800,
      thresholdFrom: 'capacity',
      movesLeft: 11,
      bytesLeft: 512 * MiB,
      plannedAt: Date.now(),
      excess,
      incurable: [{ volume: id, why: 'one chunk is hotter than any node' }],
      problems: ['something is odd'],
      underWay: [
        {
          id: ID,
          volume: id,
          reason: 'predicted',
          at: 'moving',
          to: north.id,
          since: 0,
          bytes: MiB
        }
      ]
    }
    north.balance.said = {
      promises: [{ id: ID, from: west.id, volume: id, bytes: MiB, highPeak: 410, at: 'awarded' }]
    }
    east.balance.settings = { ...east.balance.settings, isPaused: true }
    west.journal?.receipts.addSteps(
      [{ atMs: Date.now(), minutes: 5, isOver: true, isMissed: true }],
      Date.now()
    )
    const { out, code } = await shoal('balance status')
    expect(code).toBe(0)
    expect(out).toMatch(/^NODE +STATE +LOAD +THRESHOLD +HORIZON +MOVES LEFT +BYTES LEFT +REGIONS /)
    expect(out).toMatch(
      /^west +on +930 +800 \(80 %\) +60 min +11 of 12 +512 MiB of 1 GiB +eu-north +1 +0$/m
    )
    expect(out).toMatch(/^east +paused +0 +- +60 min +12 of 12 +no bound +all +0 +0$/m)
    expect(out).toMatch(/^west expects 930 to 1,240 units\/s, above 800 from .* on$/m)
    expect(out).toMatch(/^west moves 1 MiB of web to north since .*\(3fa9c2d01b7e\)$/m)
    expect(out).toMatch(/^north has promised to take 1 MiB of web from west, up to 410 units\/s/m)
    expect(out).toMatch(
      /^west cannot be helped by a move: web: one chunk is hotter than any node$/m
    )
    expect(out).toMatch(/^! west: something is odd$/m)
    expect(out).toContain(
      'score of 7 days: overload 0 min avoided, 5 min suffered (100 % of what was measured); ' +
        'no move was judged, 1 overload that no move was made against'
    )
  })

  it('names who did not answer, and leaves its score out', async () => {
    mesh.network.cut(mesh.gate.id, east.id)
    const { out } = await shoal('balance status')
    expect(out).toMatch(/^no answer from east: the score is without theirs$/m)
    const json = JSON.parse((await shoal('balance status --json --days 30')).out)
    expect(json).toMatchObject({ silent: ['east'], score: { days: 30 }, zone: 'UTC' })
    expect(json.nodes.map((node: { name: string }) => node.name).sort()).toEqual(['north', 'west'])
  })

  it('of one node that does not answer is a failure', async () => {
    mesh.network.cut(mesh.gate.id, east.id)
    const run = await shoal('balance status --node east')
    expect(run).toMatchObject({ code: 1, out: '' })
    expect(run.err).toMatch(/node east does not answer/)
  })
})

describe('shoal balance pause and resume', () => {
  it('are for all nodes, or for one', async () => {
    expect((await shoal('balance pause')).out).toBe('balancing is paused on east, north, west\n')
    expect([west, north, east].map(one => one.balance.settings.isPaused)).toEqual([
      true,
      true,
      true
    ])
    expect((await shoal('balance resume --node west')).out).toBe('balancing goes on on west\n')
    expect(west.balance.settings.isPaused).toBe(false)
    expect(north.balance.settings.isPaused).toBe(true)
  })

  it('say which nodes did not answer or refused, and fail only if all did', async () => {
    mesh.network.cut(mesh.gate.id, east.id)
    north.balance.refusal = 'its disk is full'
    const some = await shoal('balance pause')
    expect(some.code).toBe(0)
    expect(some.out).toBe(
      'balancing is paused on west\nnorth refused: its disk is full\nno answer from east\n'
    )
    const one = await shoal('balance pause --node north')
    expect(one).toMatchObject({ code: 2, out: '' })
    expect(one.err).toMatch(/its disk is full/)
    for (const node of [west, north]) mesh.network.cut(mesh.gate.id, node.id)
    const none = await shoal('balance pause')
    expect(none.code).toBe(1)
    expect(none.err).toMatch(/no answer from/)
  })
})

describe('shoal balance set', () => {
  it('changes what is named, and says what holds now', async () => {
    const words = '--threshold 70% --horizon 90m --moves-per-hour 6 --bytes-per-hour 20G'
    const run = await shoal(`balance set --node west ${words} --regions eu-west,eu-north`)
    expect(run.out).toBe(
      'threshold 70 %, horizon 90 min, 6 moves an hour, 20 GiB an hour, to eu-west, eu-north on west\n'
    )
    expect(west.balance.settings).toEqual({
      isPaused: false,
      thresholdPart: 0.7,
      horizonMinutes: 90,
      movesPerHour: 6,
      bytesPerHour: 20 * GiB,
      regions: ['eu-west', 'eu-north']
    })
    const back = await shoal('balance set --bytes-per-hour unlimited --regions all --json')
    expect(JSON.parse(back.out).nodes).toHaveLength(3)
    expect(west.balance.settings.bytesPerHour).toBeUndefined()
    expect(west.balance.settings.regions).toBeUndefined()
    expect(west.balance.settings.movesPerHour).toBe(6)
  })

  it.each([
    ['balance set', 'name what is to change'],
    ['balance set --threshold 5%', '--threshold must be from 10% to 100%'],
    ['balance set --threshold lots', '--threshold must be from 10% to 100%'],
    ['balance set --horizon 5m', '--horizon must be from 15m to 24h'],
    ['balance set --moves-per-hour -1', '--moves-per-hour must be a whole number from 0 to 1000'],
    ['balance set --bytes-per-hour x', 'bytes-per-hour'],
    ['balance set --regions eu-west,,', '"" is no name for a region'],
    ['balance set --node a/b --threshold 80%', 'is no name or id of a node'],
    ['balance status --days 91', '--days must be at most 90'],
    ['explain', 'subject'],
    ['explain a/b', 'is no move, shard or volume'],
    ['explain web@east@west', 'is no move, shard or volume']
  ])('%s is bad usage', async (line, why) => {
    const run = await shoal(line)
    expect(run).toMatchObject({ code: 2, out: '' })
    expect(run.err).toContain(why)
  })

  it('is refused of a gateway, and of a node that there is not', async () => {
    const gate = await shoal('balance pause --node gate')
    expect(gate.code).toBe(2)
    expect(gate.err).toMatch(/gateway without capacity: it holds nothing to balance/)
    const nobody = await shoal('balance plan --node nobody')
    expect(nobody.code).toBe(1)
    expect(nobody.err).toMatch(/there is no node "nobody"/)
  })
})

describe('shoal balance plan', () => {
  it('says what each node would do, why, and whom it would ask; and moves nothing', async () => {
    west.balance.planned = {
      excess,
      wants: [
        {
          want: {
            volume: id,
            reason: 'predicted',
            chunks: [
              {
                chunk: { volume: id, extent: 0, generation: 0, column: 0, replica: 0 },
                share: 1,
                bytes: MiB
              }
            ],
            bytes: MiB,
            path: { atMs: 0, stepMs: 300_000, expected: [1], high: [2] },
            excess,
            benefit: 118_000,
            cost: 9_300,
            copyMs: 40_000
          },
          why: 'its peak is at 14:50',
          candidates: [
            { node: north.id, is: 'outbid', why: 'near, and quiet' },
            { node: east.id, is: 'unfit', why: 'another continent' }
          ]
        }
      ],
      left: ['db is too cold to matter']
    }
    const { out, code } = await shoal('balance plan')
    expect(code).toBe(0)
    expect(out).toMatch(/^west would make 1 move:$/m)
    expect(out).toMatch(/^ {2}1 chunk of web \(1 MiB\): its peak is at 14:50$/m)
    expect(out).toMatch(/^ {4}node expects 930 to 1,240 units\/s, above 800 from .* on$/m)
    expect(out).toMatch(/^ {4}worth 118k units of overload, costs 9\.3k; the move takes 40 s$/m)
    expect(out).toMatch(/^ {4}north \(eu-north\) would be asked: near, and quiet$/m)
    expect(out).toMatch(/^ {4}east \(us-east\) would not be asked: another continent$/m)
    expect(out).toMatch(/^ {2}left where it is: db is too cold to matter$/m)
    expect(out).toMatch(/^north would move nothing$/m)
    expect(out).toMatch(/nothing was moved: this is what would be\n$/)
    const json = JSON.parse((await shoal('balance plan --node west --json')).out)
    expect(json.nodes).toMatchObject([{ name: 'west', wants: [{ want: { chunkCount: 1 } }] }])
  })
})

describe('shoal moves', () => {
  it('has for moves that were decided what was foretold, the bids, the worth, the outcome', async () => {
    const moved = await shoal('move web --from west --to north --extents 0-2 --wait --json')
    const { id: move } = JSON.parse(moved.out)
    const asked = west.journal?.receipts.book.get(move)?.receipt
    expect(asked).toMatchObject({ reason: 'asked', state: 'done', movedChunks: 3 })
    expect((await shoal('moves')).out).toMatch(/ LEFT +OUTCOME +WHY$/m)
    keep({ id: move, outcome: outcomeMade() })
    const { out } = await shoal('moves')
    expect(out).toMatch(/^ID .* LEFT +PREDICTED +BIDS +WORTH +OUTCOME +WHY$/m)
    expect(out).toMatch(
      /930 to 1,240 > 800 at .* 1 of 2 +118k for 9\.3k +needed, target well +asked for by/
    )
    const json = JSON.parse((await shoal('moves --json')).out)
    expect(json.moves[0].receipt).toMatchObject({
      sourceName: 'west',
      outcome: { wasNeeded: true }
    })
  })

  it('tells what a target keeps of the moves of a source that does not answer', async () => {
    keep()
    mesh.network.cut(mesh.gate.id, west.id)
    const { out } = await shoal('moves')
    expect(out).toMatch(/^3fa9c2d01b7e +web +west +north +done +3 of 3 .* 1 of 1 /m)
    expect(out).toContain('the source does not answer, as its target keeps it: 3fa9c2d01b7e')
    expect(out).toMatch(/^no answer from west$/m)
    const shown = await shoal('moves show 3fa9')
    expect(shown.out).toMatch(/^receipt +kept by north$/m)
    expect(shown.out).toMatch(/^no answer +west$/m)
  })

  it('shows one move, by the first digits of its id, with all that is known', async () => {
    keep({ outcome: outcomeMade() })
    const { out } = await shoal('moves show 3fa9')
    expect(out).toMatch(/^move 3fa9c2d01b7e \(times of UTC\)$/m)
    expect(out).toMatch(
      /^predicted +node 930 to 1,240 units\/s, above 800 from .*, expected from /m
    )
    expect(out).toMatch(/^chosen +north bid 390 units\/s of headroom left at 3 ms \(eu-north\)/m)
    expect(out).toMatch(/^declined +east \(us-east\) \(score 7\): it has promised too much$/m)
    expect(out).toMatch(/^outcome +needed, target well, judged /m)
    expect(out).toMatch(/^source +peak 640 units\/s, without the move 1,100, threshold 800$/m)
    expect(out).toMatch(/^receipt +kept by west, north$/m)
    const json = JSON.parse((await shoal('moves show 3fa9 --json')).out)
    expect(json).toMatchObject({ id: ID, zone: 'UTC', receipt: { keptBy: 'source' } })
  })

  it('refuses what is no id, is not there, or is more than one', async () => {
    keep()
    keep({ id: '3fa9c2d01b7f' })
    expect(await shoal('moves show xyz')).toMatchObject({ code: 2 })
    expect((await shoal('moves show abcd')).err).toMatch(/there is no move abcd/)
    expect((await shoal('moves show 3fa9')).err).toMatch(/2 moves begin with 3fa9: type more/)
  })
})

describe('shoal explain', () => {
  it('tells a move by its id, a shard by VOLUME@NODE, and a volume by its name', async () => {
    keep({ outcome: outcomeMade() })
    const move = await shoal(`explain ${ID}`)
    expect(move.out).toMatch(/^Move 3fa9c2d01b7e: 3 chunks of web, from west to north, done\./)
    expect(move.out).toMatch(/The receipt is kept by west and north\.\n$/)
    west.balance.said = { threshold: 800, load: 400 }
    const shard = await shoal('explain web@west')
    expect(shard.out).toMatch(/^web is on west\. Times are those of UTC\.$/m)
    expect(shard.out).toMatch(/^web@west \(eu-west.*\): 16 chunks/m)
    expect(shard.out).toMatch(/^It was placed there when web was created \(.*\): no/m)
    expect(shard.out).toMatch(
      /^west expects to stay within its threshold of 800 units\/s for the next 60 min\./m
    )
    expect(shard.out).toMatch(/^DECIDED +MOVE +FROM +TO +CHUNKS +REASON +STATE +WORTH +OUTCOME$/m)
    const volume = await shoal('explain web --json')
    expect(JSON.parse(volume.out)).toMatchObject({ kind: 'volume', places: [{ name: 'west' }] })
  })

  it('says what it is told where one word is a volume and a move', async () => {
    keep()
    await mesh.gate.volumes.create({ name: '3fa9', sizeBytes: GiB, shards: 1 })
    const both = await shoal('explain 3fa9')
    expect(both.code).toBe(1)
    expect(both.err).toMatch(/is a volume and a move: say volume:3fa9 or move:3fa9/)
    expect((await shoal('explain move:3fa9')).out).toMatch(/^Move 3fa9c2d01b7e/)
    expect((await shoal('explain volume:3fa9')).out).toMatch(/^3fa9 is on /)
    expect((await shoal('explain nothing')).err).toMatch(/there is no move and no volume "nothing"/)
  })
})
