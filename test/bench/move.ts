/**
 * `npm run bench -- move`: what a client notices of a move of half of its volume, and how long the
 * move takes; beside a naive copy (the same handoff without a pace) in the same run.
 *
 * Busy: fio at half of its own unthrottled 70/30 result, before, during and after each move, and
 * halfway, while nothing moves: then three nodes serve the volume and not two, which on few cores
 * costs something of its own. Bars compare with all three spans without a move. Idle: nobody uses
 * the volume; the same bytes over one stream between the same nodes, without being written, are the
 * measure. Rounds are interleaved, each moves the half back or forth.
 *
 * Moves are watched by asking once a second, for each answer costs all nodes some milliseconds of
 * CPU; how long one took is what its source says.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { median } from 'simple-statistics'
import { DEFAULT_EXTENT_BYTES, GiB, KiB } from '../../protocols/limits.ts'
import { PROGRAMS } from '../support/process-cli.ts'
import { ask, statusOf } from '../support/process-control.ts'
import { ProcessMesh, type ProcessNode, THREE_AND_GATEWAY } from '../support/process-mesh.ts'
import { chunksByNode, moveDone } from '../support/process-moves.ts'
import { missing, type Need, packagesOf } from '../support/process-packages.ts'
import { cpuSeconds, until } from '../support/process-spawn.ts'
import { fillRegion, runFio, type Workload } from './fio.ts'
import { handlingCpuSeconds } from './floor.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'
import { type Interval, type Span, SteadyClient } from './steady.ts'

const NEEDS: readonly Need[] = ['fio']
const VOLUME = 'bench'
const SETTLE_MS = 3_000
const WATCH_MS = 1_000
const MOVE_MS = 600_000
const MIX: Workload = {
  name: 'mix',
  title: '4 KiB 70/30 mix, 4 in flight',
  pattern: 'randrw',
  blockBytes: 4 * KiB,
  inFlight: 4,
  readPercent: 70
}

/** Least throughput kept, most growth of p99 and of the longest request, least share of a stream. */
const BARS = { throughput: 0.92, p99: 1.5, longest: 1.5, longestMs: 100, idle: 0.6 } as const

/** All cores busy all the time, with the CPU time that the move takes; that the bytes take. */
const MOST = 'most that its CPU time allows of it'
const MOST_AT_ALL = 'most that the cores allow of it'

interface Subject {
  readonly name: 'shoal' | 'naive copy'
  readonly mesh: ProcessMesh
  readonly gate: ProcessNode
  readonly uri: string
  readonly busy: Busy[]
  readonly idle: Idle[]
  /** Who holds the half that is moved, and who gets it next. */
  from: ProcessNode
  to: ProcessNode
}

interface Moved {
  readonly seconds: number
  readonly bytes: number
  readonly longestPauseMs: number
}

const SPANS = ['before', 'halfway', 'after', 'without', 'during'] as const

/** `without` is before, halfway and after, taken together. */
interface Busy extends Moved, Readonly<Record<(typeof SPANS)[number], Span>> {}

interface Idle extends Moved {
  readonly streamSeconds: number
  /** Of source, target and gateway for the move; of source and target for the stream. */
  readonly cpuSeconds: number
  readonly streamCpuSeconds: number
}

interface Scale {
  readonly volumeBytes: number
  readonly rounds: number
  readonly seconds: number
}

export async function benchMove(options: BenchOptions): Promise<BenchResult> {
  const absent = missing(NEEDS)
  if (absent.length > 0) {
    throw new Error(`bench move needs: apt-get install -y ${packagesOf(absent).join(' ')}`)
  }
  const scale: Scale = options.quick
    ? { volumeBytes: GiB / 8, rounds: 1, seconds: 4 }
    : { volumeBytes: GiB / 2, rounds: 3, seconds: 10 }
  const scratch = mkdtempSync(join(tmpdir(), 'shoal-bench-'))
  const subjects: Subject[] = []
  try {
    for (const name of ['shoal', 'naive copy'] as const) {
      subjects.push(await startSubject(name, scale, scratch, options.seed))
    }
    const perSecond = await halfRate(subjects, scale, scratch, options.seed)
    for (let turn = 0; turn < scale.rounds; turn++) {
      for (const subject of subjects) {
        await settle()
        subject.busy.push(await busyMove(subject, perSecond, scale, scratch, options.seed + turn))
        await settle()
        subject.idle.push(await idleMove(subject))
        console.error(`round ${turn + 1}/${scale.rounds} ${subject.name}: ${said(subject)}`)
      }
    }
    await settle()
    const movedBytes = median(subjects.flatMap(({ idle }) => idle.map(({ bytes }) => bytes)))
    const handlingCpu = handlingCpuSeconds(movedBytes, scratch)
    const measured = { perSecond, handlingCpu }
    return report(subjects, measured, scale, options, await versionsOf(['fio']))
  } finally {
    for (const { mesh } of subjects) await mesh.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function startSubject(
  name: Subject['name'],
  { volumeBytes }: Scale,
  scratch: string,
  seed: number
): Promise<Subject> {
  const launcher = join(PROGRAMS, 'move-launcher.js')
  const program = name === 'shoal' ? [launcher] : [launcher, '--unpaced']
  const mesh = await ProcessMesh.start(THREE_AND_GATEWAY, { program })
  try {
    const gate = mesh.node('gate')
    const uri = await mesh.volume(gate, VOLUME, '--size', `${volumeBytes}`, '--shards', '2')
    await fillRegion({ uri, scratch, regionBytes: volumeBytes, seconds: 0, seed })
    const homes = await chunksByNode(gate, VOLUME)
    const storage = mesh.nodes.filter(node => node !== gate)
    const from = storage.find(node => (homes.get(node.name) ?? 0) > 0)
    const to = storage.find(node => (homes.get(node.name) ?? 0) === 0)
    if (from === undefined || to === undefined)
      throw new Error('two of three nodes have the volume')
    return { name, mesh, gate, uri, busy: [], idle: [], from, to }
  } catch (error) {
    mesh.report()
    await mesh.close()
    throw error
  }
}

/** Half of what the slower of the two does unthrottled. */
async function halfRate(
  subjects: readonly Subject[],
  { seconds, volumeBytes }: Scale,
  scratch: string,
  seed: number
): Promise<number> {
  const rates: number[] = []
  for (const { uri, name } of subjects) {
    const run = { uri, scratch, regionBytes: volumeBytes, seed }
    await runFio(MIX, { ...run, seconds: 2 })
    const { operationsPerSecond } = await runFio(MIX, { ...run, seconds })
    console.error(`unthrottled ${MIX.title}, ${name}: ${Math.round(operationsPerSecond)}/s`)
    rates.push(operationsPerSecond)
  }
  return Math.floor(Math.min(...rates) / 2)
}

async function busyMove(
  subject: Subject,
  perSecond: number,
  { seconds, volumeBytes }: Scale,
  scratch: string,
  seed: number
): Promise<Busy> {
  const { uri } = subject
  const mix = { inFlight: MIX.inFlight, readPercent: 70 }
  const client = new SteadyClient({
    ...mix,
    uri,
    scratch,
    regionBytes: volumeBytes,
    perSecond,
    seed
  })
  const before = await still(seconds)
  const first = await move(subject, { from: 0, to: volumeBytes / DEFAULT_EXTENT_BYTES / 2 })
  const halfway = await still(seconds)
  const second = await move(subject)
  const after = await still(seconds)
  turnBack(subject)
  const span = await client.stop()
  return {
    seconds: first.seconds + second.seconds,
    bytes: first.bytes + second.bytes,
    longestPauseMs: Math.max(first.longestPauseMs, second.longestPauseMs),
    before: span(before),
    halfway: span(halfway),
    after: span(after),
    without: span(before, halfway, after),
    during: span(first.interval, second.interval)
  }
}

/** An interval in which nothing moves, once what was before has settled. */
async function still(seconds: number): Promise<Interval> {
  await pause(SETTLE_MS)
  const from = Date.now()
  await pause(seconds * 1000)
  return { from, to: Date.now() }
}

async function idleMove(subject: Subject): Promise<Idle> {
  const { from, to, gate } = subject
  const used = (nodes: readonly ProcessNode[]): number =>
    nodes.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0)
  const beforeMove = used([from, to, gate])
  const moved = await move(subject)
  const moveCpu = used([from, to, gate]) - beforeMove
  turnBack(subject)
  await settle()
  const beforeStream = used([from, to])
  const streamSeconds = await sendOverStream(from, to, moved.bytes)
  const streamCpu = used([from, to]) - beforeStream
  return { ...moved, cpuSeconds: moveCpu, streamSeconds, streamCpuSeconds: streamCpu }
}

/** Moves the half, or some extents of it, to where it is not, by the API that `shoal move` uses. */
async function move(
  { gate, from, to }: Subject,
  extents?: { readonly from: number; readonly to: number }
): Promise<Moved & { interval: Interval }> {
  const wish = { volume: VOLUME, from: from.name, to: to.name, ...(extents ? { extents } : {}) }
  const { id } = await ask<{ id: string }>(gate.dir, 'POST', '/v1/moves', wish)
  const line = await moveDone(gate, id, { timeoutMs: MOVE_MS, pollMs: WATCH_MS })
  const interval = { from: line.since, to: line.endedAt ?? Number.NaN }
  const seconds = (interval.to - interval.from) / 1000
  return { seconds, bytes: line.bytes.done, longestPauseMs: line.longestPauseMs, interval }
}

function turnBack(subject: Subject): void {
  const { from, to } = subject
  subject.from = to
  subject.to = from
}

async function sendOverStream(from: ProcessNode, to: ProcessNode, bytes: number): Promise<number> {
  const target = await statusOf(to.dir)
  const sent = join(from.dir, 'bench-sent.json')
  rmSync(sent, { force: true })
  writeFileSync(join(from.dir, 'bench-send.json'), JSON.stringify({ to: target?.self.id, bytes }))
  from.child?.signal('SIGUSR2')
  return until('the bytes are sent', () => {
    try {
      return (JSON.parse(readFileSync(sent, 'utf8')) as { seconds: number }).seconds
    } catch {
      return undefined
    }
  })
}

function said({ busy, idle }: Subject): string {
  const [b, i] = [busy.at(-1), idle.at(-1)]
  if (b === undefined || i === undefined) return ''
  const kept = (b.during.perSecond / b.without.perSecond) * 100
  const busyPart = `busy ${round(b.seconds, 1)} s, ${round(kept, 0)} % kept`
  const longest = `longest ${round(b.during.longest, 0)} ms`
  return `${busyPart}, ${longest}, idle ${round(i.seconds, 1)} s, stream ${round(i.streamSeconds, 1)} s`
}

function report(
  subjects: readonly Subject[],
  { perSecond, handlingCpu }: { readonly perSecond: number; readonly handlingCpu: number },
  { volumeBytes }: Scale,
  options: BenchOptions,
  versions: Record<string, string>
): BenchResult {
  const rows = subjects.flatMap(({ name, busy, idle }) => [
    ...SPANS.map(span => ({
      subject: name,
      phase: span,
      perSecond: Math.round(median(busy.map(one => one[span].perSecond))),
      p50Ms: round(median(busy.map(one => one[span].p50)), 2),
      p99Ms: round(median(busy.map(one => one[span].p99)), 2),
      longestMs: round(Math.max(...busy.map(one => one[span].longest)), 1)
    })),
    {
      subject: name,
      phase: 'moves',
      busySeconds: busy.map(one => round(one.seconds, 2)),
      idleSeconds: idle.map(one => round(one.seconds, 2)),
      streamSeconds: idle.map(one => round(one.streamSeconds, 2)),
      idleCpuSeconds: idle.map(one => round(one.cpuSeconds, 2)),
      streamCpuSeconds: idle.map(one => round(one.streamCpuSeconds, 2)),
      busyPausesMs: busy.map(one => round(one.longestPauseMs, 1)),
      bytes: busy.map(one => one.bytes)
    }
  ])
  printTable(
    ['', 'phase', 'requests/s', 'p50 ms', 'p99 ms', 'longest ms'],
    rows.flatMap(row =>
      'perSecond' in row
        ? [[row.subject, row.phase, row.perSecond, row.p50Ms, row.p99Ms, row.longestMs].map(String)]
        : []
    )
  )
  const ratios = Object.fromEntries(subjects.flatMap(subject => ratiosOf(subject, handlingCpu)))
  printTable(
    ['', 'shoal', 'bar', '', 'naive copy'],
    verdicts(ratios, subjects).map(({ what, shoal, bar, isMet, naive }) => [
      what,
      shoal,
      bar,
      isMet ? 'pass' : 'MISS',
      naive
    ])
  )
  const cores = availableParallelism()
  console.log(
    `idle: a move takes ${ratios['shoal: CPU of an idle move, s']} s of CPU, so that ${cores} cores ` +
      `allow a share of ${ratios[`shoal: ${MOST}`]} at most; the stream and handling each byte once ` +
      `(${round(handlingCpu, 2)} s) would allow ${ratios[`shoal: ${MOST_AT_ALL}`]}`
  )
  const missed = verdicts(ratios, subjects).flatMap(({ what, isMet }) => (isMet ? [] : [what]))
  const summary = {
    clientPerSecond: perSecond,
    handlingCpuSeconds: round(handlingCpu, 3),
    volumeBytes,
    bars: BARS,
    missed,
    quick: options.quick
  }
  return { rows, ratios, summary, seed: options.seed, versions }
}

/** Medians over the rounds, each against its own round; the longest is the worst of all. */
function ratiosOf({ name, busy, idle }: Subject, handlingCpu: number): Array<[string, number]> {
  const kept = median(busy.map(({ during, without }) => during.perSecond / without.perSecond))
  const p99 = median(busy.map(({ during, without }) => during.p99 / without.p99))
  const p99Before = median(busy.map(({ during, before }) => during.p99 / before.p99))
  const share = median(idle.map(({ seconds, streamSeconds }) => streamSeconds / seconds))
  const cores = availableParallelism()
  const most = median(idle.map(one => (one.streamSeconds * cores) / one.cpuSeconds))
  const mostAtAll = median(
    idle.map(one => (one.streamSeconds * cores) / (one.streamCpuSeconds + handlingCpu))
  )
  return [
    [`${name}: throughput kept`, round(kept, 3)],
    [`${name}: p99 during / without`, round(p99, 2)],
    [`${name}: p99 during / before`, round(p99Before, 2)],
    [`${name}: longest during, ms`, round(worst(busy, 'during'), 1)],
    [`${name}: longest without a move, ms`, round(worst(busy, 'without'), 1)],
    [`${name}: idle move against one stream`, round(share, 2)],
    [`${name}: ${MOST}`, round(most, 2)],
    [`${name}: ${MOST_AT_ALL}`, round(mostAtAll, 2)],
    [`${name}: CPU of an idle move, s`, round(median(idle.map(one => one.cpuSeconds)), 2)],
    [`${name}: busy move, s`, round(median(busy.map(one => one.seconds)), 2)],
    [`${name}: idle move, s`, round(median(idle.map(one => one.seconds)), 2)]
  ]
}

function verdicts(ratios: Readonly<Record<string, number>>, subjects: readonly Subject[]) {
  const of = (name: string, what: string): number => ratios[`${name}: ${what}`] ?? Number.NaN
  const [shoal] = subjects
  const allowedMs = Math.max(BARS.longestMs, BARS.longest * worst(shoal?.busy ?? [], 'without'))
  const rows = [
    ['throughput kept', `>= ${BARS.throughput}`, (x: number) => x >= BARS.throughput],
    ['p99 during / without', `<= ${BARS.p99}`, (x: number) => x <= BARS.p99],
    ['longest during, ms', `<= ${Math.round(allowedMs)}`, (x: number) => x <= allowedMs],
    ['idle move against one stream', `>= ${BARS.idle}`, (x: number) => x >= BARS.idle]
  ] as const
  return rows.map(([what, bar, holds]) => ({
    what,
    bar,
    isMet: holds(of('shoal', what)),
    shoal: `${of('shoal', what)}`,
    naive: `${of('naive copy', what)}`
  }))
}

function worst(busy: readonly Busy[], span: 'without' | 'during'): number {
  return Math.max(...busy.map(one => one[span].longest))
}

function settle(): Promise<void> {
  return pause(SETTLE_MS)
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
