/**
 * `npm run bench -- move`: what a client notices of a move of half of its volume, and how long the
 * move takes; beside a naive copy (the same handoff without a pace) in the same run.
 *
 * Busy: fio at half of its own unthrottled 70/30 result, before, during and after each move. Idle:
 * nobody uses the volume; the same bytes over one stream between the same nodes, without being
 * written, are the measure. Rounds are interleaved, each moves the half back or forth.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median } from 'simple-statistics'
import { GiB, KiB } from '../../protocols/limits.ts'
import { REPOSITORY } from '../support/process-cli.ts'
import { ask, statusOf } from '../support/process-control.ts'
import { ProcessMesh, type ProcessNode, THREE_AND_GATEWAY } from '../support/process-mesh.ts'
import { chunksByNode, moveDone } from '../support/process-moves.ts'
import { missing, type Need, packagesOf } from '../support/process-packages.ts'
import { until } from '../support/process-spawn.ts'
import { fillRegion, runFio, type Workload } from './fio.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'
import { type Span, SteadyClient } from './steady.ts'

const NEEDS: readonly Need[] = ['fio']
const VOLUME = 'bench'
const SETTLE_MS = 3_000
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

interface Busy extends Moved {
  readonly before: Span
  readonly during: Span
  readonly after: Span
}

interface Idle extends Moved {
  readonly streamSeconds: number
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
    return report(subjects, perSecond, scale, options, await versionsOf(['fio']))
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
  const launcher = join(REPOSITORY, 'dist/test/bench/move-launcher.js')
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
  await pause(SETTLE_MS)
  const beforeMs = Date.now()
  await pause(seconds * 1000)
  const startMs = Date.now()
  const moved = await move(subject)
  const endMs = Date.now()
  await pause(seconds * 1000)
  const afterMs = Date.now()
  const span = await client.stop()
  const spans = {
    before: span(beforeMs, startMs),
    during: span(startMs, endMs),
    after: span(endMs, afterMs)
  }
  return { ...moved, ...spans }
}

async function idleMove(subject: Subject): Promise<Idle> {
  const { from, to } = subject
  const moved = await move(subject)
  await settle()
  return { ...moved, streamSeconds: await sendOverStream(from, to, moved.bytes) }
}

/** Moves the half to where it is not, by the API that `shoal move` uses. */
async function move(subject: Subject): Promise<Moved> {
  const { gate, from, to } = subject
  const wish = { volume: VOLUME, from: from.name, to: to.name }
  const startMs = performance.now()
  const { id } = await ask<{ id: string }>(gate.dir, 'POST', '/v1/moves', wish)
  const line = await moveDone(gate, id, MOVE_MS)
  subject.from = to
  subject.to = from
  const seconds = (performance.now() - startMs) / 1000
  return { seconds, bytes: line.bytes.done, longestPauseMs: line.longestPauseMs }
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
  const kept = (b.during.perSecond / b.before.perSecond) * 100
  const busyPart = `busy ${round(b.seconds, 1)} s, ${round(kept, 0)} % kept`
  const longest = `longest ${round(b.during.longest, 0)} ms`
  return `${busyPart}, ${longest}, idle ${round(i.seconds, 1)} s, stream ${round(i.streamSeconds, 1)} s`
}

function report(
  subjects: readonly Subject[],
  perSecond: number,
  { volumeBytes }: Scale,
  options: BenchOptions,
  versions: Record<string, string>
): BenchResult {
  const rows = subjects.flatMap(({ name, busy, idle }) => [
    ...(['before', 'during', 'after'] as const).map(span => ({
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
  const ratios = Object.fromEntries(subjects.flatMap(ratiosOf))
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
  const missed = verdicts(ratios, subjects).flatMap(({ what, isMet }) => (isMet ? [] : [what]))
  const summary = {
    clientPerSecond: perSecond,
    volumeBytes,
    bars: BARS,
    missed,
    quick: options.quick
  }
  return { rows, ratios, summary, seed: options.seed, versions }
}

/** Medians over the rounds, each of its own round's before; the longest is the worst of all. */
function ratiosOf({ name, busy, idle }: Subject): Array<[string, number]> {
  const kept = median(busy.map(({ during, before }) => during.perSecond / before.perSecond))
  const p99 = median(busy.map(({ during, before }) => during.p99 / before.p99))
  const share = median(idle.map(({ seconds, streamSeconds }) => streamSeconds / seconds))
  return [
    [`${name}: throughput kept`, round(kept, 3)],
    [`${name}: p99 during / before`, round(p99, 2)],
    [`${name}: longest during, ms`, round(worst(busy, 'during'), 1)],
    [`${name}: longest without a move, ms`, round(worstWithout(busy), 1)],
    [`${name}: idle move against one stream`, round(share, 2)],
    [`${name}: busy move, s`, round(median(busy.map(one => one.seconds)), 2)],
    [`${name}: idle move, s`, round(median(idle.map(one => one.seconds)), 2)]
  ]
}

function verdicts(ratios: Readonly<Record<string, number>>, subjects: readonly Subject[]) {
  const of = (name: string, what: string): number => ratios[`${name}: ${what}`] ?? Number.NaN
  const [shoal] = subjects
  const allowedMs = Math.max(BARS.longestMs, BARS.longest * worstWithout(shoal?.busy ?? []))
  const rows = [
    ['throughput kept', `>= ${BARS.throughput}`, (x: number) => x >= BARS.throughput],
    ['p99 during / before', `<= ${BARS.p99}`, (x: number) => x <= BARS.p99],
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

function worst(busy: readonly Busy[], span: 'before' | 'during' | 'after'): number {
  return Math.max(...busy.map(one => one[span].longest))
}

function worstWithout(busy: readonly Busy[]): number {
  return Math.max(worst(busy, 'before'), worst(busy, 'after'))
}

function settle(): Promise<void> {
  return pause(SETTLE_MS)
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
