// Goal: chunks move between real nodes while a VM writes, and whoever is killed at whatever step of
// the protocol: the data is right each time, and every chunk has exactly one home in the end.
// Method: real daemons; fio --verify and a checker of every read; a launcher whose daemon kills
// itself at a named step. `npm test` takes one step of each role, by the seed, SHOAL_TEST_ALL=1 all.
import { afterAll, describe, expect, it } from 'vitest'
import {
  HANDOFF_STEPS,
  type HandoffStep,
  HOLDER_STEPS,
  MOVER_STEPS,
  SOURCE_STEPS,
  TARGET_STEPS
} from '../../protocols/handoff/steps.ts'
import { Checker } from '../support/process-checker.ts'
import { useMesh } from '../support/process-fixture.ts'
import { attach, type ProcessMesh, type ProcessNode } from '../support/process-mesh.ts'
import {
  chunksByNode,
  dieAt,
  homesOf,
  MORTAL,
  moveDone,
  movesOf,
  startMove
} from '../support/process-moves.ts'
import { connectDisk, type NbdDisk } from '../support/process-nbd.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'
import { runOk, until } from '../support/process-spawn.ts'
import { needs } from '../support/process-tools.ts'

const seed = seedOfRun()
const BLOCKS = 2048
const EXTENTS = 4
const COLUMNS = 3
const SIZE = `${EXTENTS * 64}M`

/** Steps that a handoff between healthy nodes does not take. */
const NOT_HERE: readonly HandoffStep[] = ['source: aborted', 'target: dropping']
const STEPS = HANDOFF_STEPS.filter(step => !NOT_HERE.includes(step))
/** One of each role, by the seed. */
const SOME = [SOURCE_STEPS, TARGET_STEPS, HOLDER_STEPS, MOVER_STEPS].flatMap(ofRole => {
  const steps = STEPS.filter(step => ofRole.some(known => known === step))
  return steps[seed % steps.length] ?? []
})
const CHOSEN = process.env.SHOAL_TEST_ALL === '1' ? STEPS : SOME

/** Written at random and verified, at a rate that leaves room for others. */
const VERIFIED = ['--rw=randwrite', '--bs=4k', `--randseed=${seed}`]
/** Reads and writes of a VM that leaves processors to those whose restarts are waited for. */
const BUSY = { inFlight: 4, readPercent: 40, flushEvery: 20, pauseMs: 10 }
/** Where the checker does not write: in the second extent. */
const BESIDE = ['--rate_iops=300', '--offset=64M', '--size=8M', '--io_size=2M']
/** In the third extent; verified against `mark`, so that an older one is not taken for it. */
const stamp = (mark: number): string[] => [
  '--rw=write',
  '--bs=64k',
  '--offset=128M',
  '--size=4M',
  `--randseed=${seed + mark}`
]

describe('moves', () => {
  const mesh = useMesh(
    [
      { name: 'west', region: 'eu-west', capacity: '4G' },
      { name: 'north', region: 'eu-north', capacity: '4G' },
      { name: 'east', region: 'us-east', capacity: '4G' },
      { name: 'gate', region: 'eu-west', capacity: '0' }
    ],
    MORTAL
  )

  needs('fio')('fio --verify runs while every chunk goes around three nodes and back', async () => {
    const { gate } = nodes(mesh())
    const uri = await newVolume(mesh(), 'round')
    let isOver = false
    const writing = (async () => {
      while (!isOver)
        await fio(uri, mesh().dir, ...VERIFIED, '--rate_iops=800', '--size=48M', '--io_size=16M')
    })()
    const lap = ['west', 'north', 'east', 'west', 'east', 'north', 'west']
    try {
      for (let i = 0; i + 1 < lap.length; i++) {
        await moveAll(gate, 'round', lap[i] ?? '', lap[i + 1] ?? '')
      }
    } finally {
      isOver = true
      await writing
    }
    await oneHome(gate, 'round')
  })

  describe('a process that dies at a step', () => {
    let uri: string | undefined
    let disk: NbdDisk | undefined
    const checker = new Checker(seed, BLOCKS)
    afterAll(() => disk?.close())

    for (const [mark, step] of CHOSEN.entries()) {
      needs('fio')(`${step}: nothing is lost, and every chunk has one home`, async () => {
        const { gate } = nodes(mesh())
        uri ??= await newVolume(mesh(), 'steps')
        disk ??= await begin(uri, checker)
        await fio(uri, mesh().dir, ...stamp(mark), '--do_verify=0')
        const isMovers = MOVER_STEPS.some(known => known === step)
        const isHolders = HOLDER_STEPS.some(known => known === step)
        // Clients lose their gateway, or have none: what they wrote before must be there after.
        const isAlone = isMovers || isHolders
        if (isAlone) await disk.close()
        if (isMovers) await gate.json('volume', 'detach', 'steps')
        await struck(mesh(), step, isAlone ? undefined : { uri, disk, checker })
        if (isAlone) {
          uri = await attach(gate, 'steps', '--take-over')
          disk = await connectDisk(uri)
        }
        expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
        await fio(uri, mesh().dir, ...stamp(mark), '--verify_only')
        await oneHome(gate, 'steps')
      })
    }
  })

  it('a loaded node leaves: drained while its volumes are in use, and gone', async () => {
    const { gate } = nodes(mesh())
    const spare = await mesh().add({ name: 'spare', region: 'eu-west', capacity: '4G' })
    await mesh().converged()
    const uri = await newVolume(mesh(), 'leaving')
    const disk = await connectDisk(uri)
    const checker = new Checker(seed, BLOCKS)
    await checker.writeAll(disk)
    await moveAll(gate, 'leaving', 'north', 'spare')
    let isOver = false
    const random = new SeededRandom(seed)
    const options = { random, inFlight: 8, readPercent: 50, flushEvery: 50 }
    const load = checker.load(disk, { ...options, until: () => isOver })
    await checker.progress(200)
    const left = await spare.run('leave', '--yes')
    expect(left.code, left.stderr).toBe(0)
    await checker.progress(200)
    isOver = true
    expect((await load).errors).toEqual([])
    expect(await checker.checkAll(disk, 'acknowledged')).toEqual([])
    const homes = await chunksByNode(gate, 'leaving')
    expect(homes.get('spare') ?? 0).toBe(0)
    await disk.close()
  })

  it('a move, a drain and a leave that cannot be are refused in words', async () => {
    const { gate } = nodes(mesh())
    await newVolume(mesh(), 'refused')
    const shown = (await gate.run('volume', 'show', 'refused')).stdout
    expect(shown).toMatch(/ EXTENTS .*\n.* 4 +0-3 /)
    const refusals = [
      [['move', 'refused', '--from', 'west', '--to', 'west'], /another node/],
      [['move', 'refused', '--from', 'west', '--to', 'nowhere'], /nowhere/],
      [['move', 'refused', '--from', 'gate', '--to', 'west'], /gateway|capacity|holds no/],
      [
        ['move', 'refused', '--from', 'west', '--to', 'north', '--extents', '900-901'],
        /holds no chunk/
      ],
      [['moves', 'cancel', 'feedfeedfeed'], /no move/]
    ] as const
    for (const [words, pattern] of refusals) {
      const outcome = await gate.run(...words)
      expect(outcome.code, words.join(' ')).not.toBe(0)
      expect(outcome.stderr).toMatch(pattern)
    }
  })
})

function nodes(mesh: ProcessMesh): Record<'west' | 'north' | 'east' | 'gate', ProcessNode> {
  const [west, north, east, gate] = ['west', 'north', 'east', 'gate'].map(name => mesh.node(name))
  if (west === undefined || north === undefined || east === undefined || gate === undefined) {
    throw new Error('the mesh has these nodes')
  }
  return { west, north, east, gate }
}

function newVolume(mesh: ProcessMesh, name: string): Promise<string> {
  return mesh.volume(mesh.node('gate'), name, '--size', SIZE, '--shards', `${COLUMNS}`)
}

async function begin(uri: string, checker: Checker): Promise<NbdDisk> {
  const disk = await connectDisk(uri)
  await checker.writeAll(disk)
  return disk
}

/** All chunks that `from` holds; nothing to do if it holds none. */
async function moveAll(at: ProcessNode, volume: string, from: string, to: string): Promise<void> {
  const homes = await chunksByNode(at, volume)
  if ((homes.get(from) ?? 0) === 0) return
  await moveDone(at, await startMove(at, volume, from, to))
}

/** Every chunk of the volume is held by one node, and nobody holds another. */
async function oneHome(at: ProcessNode, volume: string): Promise<void> {
  const wanted = Array.from({ length: EXTENTS * COLUMNS }, (_, i) => {
    return `${Math.floor(i / COLUMNS)}.${i % COLUMNS}`
  })
  let homes: string[] = []
  const isSo = async () => {
    homes = await homesOf(at, volume)
    return homes.join() === wanted.join()
  }
  await until('every chunk has one home', isSo, 30_000).catch(() => {})
  expect(homes).toEqual(wanted)
}

/**
 * A move from whoever holds most, whose source, target or gateway dies at the step and comes back;
 * then the move is done.
 */
async function struck(
  mesh: ProcessMesh,
  step: HandoffStep,
  load: { uri: string; disk: NbdDisk; checker: Checker } | undefined
): Promise<void> {
  const { gate, west, north } = nodes(mesh)
  // What an earlier step left dead is not this one's.
  for (const node of mesh.nodes) if (!node.running) await node.up(MORTAL)
  await mesh.converged()
  const homes = await chunksByNode(gate, 'steps')
  const [from, to] =
    (homes.get('west') ?? 0) >= (homes.get('north') ?? 0) ? [west, north] : [north, west]
  const isTargets = TARGET_STEPS.some(known => known === step)
  const isHolders = HOLDER_STEPS.some(known => known === step)
  const dying = isTargets ? to : isHolders ? gate : from
  let isOver = false
  const random = new SeededRandom(seed)
  const options = { random, ...BUSY, until: () => isOver }
  const working = load?.checker.load(load.disk, options)
  const verifying = (async () => {
    while (load !== undefined && !isOver) await fio(load.uri, mesh.dir, ...VERIFIED, ...BESIDE)
  })()
  const asked = mesh.node('east')
  const known = new Set((await movesOf(asked)).map(({ id }) => id))
  dieAt(dying, step)
  // A source that dies at once may not come to answer: then a person looks, and asks again.
  const begun = await startMove(asked, 'steps', from.name, to.name).catch(() => undefined)
  await dying.child?.exited
  await dying.up(MORTAL)
  await mesh.converged()
  if (isHolders) await attach(gate, 'steps', '--take-over')
  await moveDone(asked, begun ?? (await moveSince(known, asked, from, to)))
  isOver = true
  expect((await working)?.errors ?? []).toEqual([])
  await verifying
}

/** The move that the source remembers, which may have ended by now, or else a new one. */
async function moveSince(
  known: ReadonlySet<string>,
  at: ProcessNode,
  from: ProcessNode,
  to: ProcessNode
): Promise<string> {
  const remembered = (await movesOf(at)).find(({ id }) => !known.has(id))
  return remembered?.id ?? startMove(at, 'steps', from.name, to.name)
}

async function fio(uri: string, cwd: string, ...options: string[]): Promise<void> {
  const words = ['--name=verify', '--ioengine=nbd', `--uri=${uri}`, '--iodepth=8']
  const verify = ['--verify=crc32c', '--verify_fatal=1']
  await runOk('fio', [...words, ...verify, ...options], { cwd, timeoutMs: 170_000 })
}
