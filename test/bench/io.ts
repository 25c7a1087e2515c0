/**
 * `npm run bench -- io`: the data path, NBD -> gateway -> TLS -> three storage nodes in their own
 * processes, beside nbdkit serving a file and the same two hops in C, in the same run.
 *
 * Rounds are interleaved (every server does each workload in turn, then the next workload), so a
 * noisy minute hits all alike; medians over rounds; CPU counts all server processes, and what
 * they still do in the background right after the clients have gone. Ratios are to the two hops.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median } from 'simple-statistics'
import { GiB, KiB, MiB } from '../../protocols/limits.ts'
import { missing, type Need, packagesOf } from '../support/process-packages.ts'
import { cpuSeconds, until } from '../support/process-spawn.ts'
import { fillRegion, type Measured, runFio, type Workload } from './fio.ts'
import { type Subject, startFileReference, startTwoHopReference } from './references.ts'
import type { BenchOptions, BenchResult } from './report.ts'
import { printTable, round, versionsOf } from './report.ts'
import { startShoal } from './shoal.ts'

const NEEDS: readonly Need[] = ['fio', 'nbdkit', 'nbdinfo', 'certtool']
const DISK_BYTES = GiB
const SETTLE_MS = 2000
const IDLE_CPU_SECONDS = 0.01

const WORKLOADS: readonly Workload[] = [
  small('read-4k-1', '4 KiB random read, 1 in flight', 'randread', 1),
  small('read-4k-32', '4 KiB random read, 32 in flight', 'randread', 32),
  small('write-4k-1', '4 KiB random write, 1 in flight', 'randwrite', 1),
  small('write-4k-32', '4 KiB random write, 32 in flight', 'randwrite', 32),
  { ...small('mix-4k-32', '4 KiB 70/30 mix, 32 in flight', 'randrw', 32), readPercent: 70 },
  large('read-1m-8', '1 MiB sequential read, 8 in flight', 'read'),
  large('write-1m-8', '1 MiB sequential write, 8 in flight', 'write'),
  {
    ...small('flush-4k-32', '4 KiB random write, 32 in flight, flush every 32', 'randwrite', 32),
    flushEvery: 32
  }
]

/** The least ratio to the two hops in C, by workload. */
const BARS: Readonly<Record<string, number>> = {
  'read-4k-1': 0.35,
  'write-4k-1': 0.35,
  'read-4k-32': 0.6,
  'write-4k-32': 0.45,
  'read-1m-8': 0.25,
  'write-1m-8': 0.25
}

interface Cell {
  readonly workload: Workload
  readonly subject: string
  readonly rounds: Array<Measured & { readonly cpuSecondsPerMillion: number }>
}

export async function benchIo(options: BenchOptions): Promise<BenchResult> {
  const absent = missing(NEEDS)
  if (absent.length > 0) {
    throw new Error(`bench io needs: apt-get install -y ${packagesOf(absent).join(' ')}`)
  }
  const scratch = mkdtempSync(join(tmpdir(), 'shoal-bench-'))
  const subjects: Subject[] = []
  try {
    subjects.push(await startTwoHopReference(scratch, DISK_BYTES))
    subjects.push(await startFileReference(scratch, DISK_BYTES))
    subjects.push(await startShoal(DISK_BYTES))
    for (const { name, commands } of subjects) console.log(`${name}:\n  ${commands.join('\n  ')}`)
    const cells = await measure(subjects, scratch, options)
    return report(cells, options, await versionsOf(['fio', 'nbdkit']))
  } finally {
    for (const subject of subjects) await subject.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function measure(
  subjects: readonly Subject[],
  scratch: string,
  { quick, seed }: BenchOptions
): Promise<Cell[]> {
  const seconds = quick ? 1 : 4
  const rounds = quick ? 1 : 3
  const base = { scratch, seconds, regionBytes: quick ? 64 * MiB : 512 * MiB }
  for (const { uri } of subjects) await fillRegion({ ...base, uri, seed })
  const cells = WORKLOADS.flatMap(workload =>
    subjects.map(({ name }): Cell => ({ workload, subject: name, rounds: [] }))
  )
  // Just-in-time compilers, page caches and connections: nobody is measured cold.
  for (const workload of WORKLOADS) {
    for (const { uri } of subjects) await runFio(workload, { ...base, uri, seed, seconds: 1 })
  }
  for (let turn = 0; turn < rounds; turn++) {
    for (const workload of WORKLOADS) {
      for (const subject of subjects) {
        const cell = cells.find(c => c.workload === workload && c.subject === subject.name)
        await settled(subject)
        const cpuBefore = cpuOf(subject)
        const run = { ...base, uri: subject.uri, seed: seed + turn }
        const measured = await runFio(workload, run)
        await settled(subject)
        const cpu = ((cpuOf(subject) - cpuBefore) / measured.operations) * 1e6
        cell?.rounds.push({ ...measured, cpuSecondsPerMillion: cpu })
        const rate = Math.round(measured.operationsPerSecond)
        console.error(`round ${turn + 1}/${rounds} ${workload.name} ${subject.name}: ${rate}/s`)
      }
    }
  }
  return cells
}

function cpuOf(subject: Subject): number {
  return subject.pids().reduce((sum, pid) => sum + cpuSeconds(pid), 0)
}

/** Waits, briefly, until the servers have done what they do in the background. */
async function settled(subject: Subject): Promise<void> {
  const deadline = performance.now() + SETTLE_MS
  let last = Number.NaN
  await until('idle', () => {
    const before = last
    last = cpuOf(subject)
    return last - before <= IDLE_CPU_SECONDS || performance.now() > deadline
  })
}

function report(
  cells: readonly Cell[],
  options: BenchOptions,
  versions: Record<string, string>
): BenchResult {
  const rows = cells.map(({ workload, subject, rounds }) => ({
    workload: workload.name,
    subject,
    operationsPerSecond: Math.round(median(rounds.map(r => r.operationsPerSecond))),
    mebibytesPerSecond: round(median(rounds.map(r => r.bytesPerSecond)) / MiB, 1),
    cpuSecondsPerMillion: round(median(rounds.map(r => r.cpuSecondsPerMillion)), 1),
    rounds: rounds.map(r => Math.round(r.operationsPerSecond))
  }))
  const find = (workload: Workload, subject: string) =>
    rows.find(row => row.workload === workload.name && row.subject === subject)
  const ratios: Record<string, number> = {}
  const table = WORKLOADS.map(workload => {
    const [shoal, twoHop, file] = ['shoal', 'two hops in C', 'nbdkit file'].map(name =>
      find(workload, name)
    )
    const ratio = (shoal?.operationsPerSecond ?? 0) / (twoHop?.operationsPerSecond ?? 1)
    ratios[workload.name] = round(ratio, 3)
    const bar = BARS[workload.name]
    const verdict = bar === undefined ? '' : `${bar} ${ratio >= bar ? 'pass' : 'MISS'}`
    const rate = (row: typeof shoal): string =>
      row === undefined
        ? '-'
        : workload.blockBytes < MiB
          ? `${row.operationsPerSecond}/s`
          : `${Math.round(row.mebibytesPerSecond)} MiB/s`
    const cpu = (row: typeof shoal): string => row?.cpuSecondsPerMillion.toFixed(0) ?? '-'
    const cells = [rate(shoal), rate(twoHop), rate(file), ratio.toFixed(2), verdict]
    return [workload.title, ...cells, cpu(shoal), cpu(twoHop), cpu(file)]
  })
  const heads = ['shoal', 'two hops in C', 'nbdkit file', 'ratio', 'bar', 'CPU s/M', 'C', 'file']
  printTable(['workload', ...heads], table)
  const missed = Object.entries(BARS).filter(([name, bar]) => (ratios[name] ?? 0) < bar)
  const summary = {
    reference: 'two hops in C',
    bars: BARS,
    passed: Object.keys(BARS).length - missed.length,
    missed: missed.map(([name]) => name),
    quick: options.quick
  }
  console.log(`bars: ${summary.passed} passed, ${missed.length} missed`)
  return { rows, ratios, summary, seed: options.seed, versions }
}

function small(
  name: string,
  title: string,
  pattern: Workload['pattern'],
  inFlight: number
): Workload {
  return { name, title, pattern, inFlight, blockBytes: 4 * KiB }
}

function large(name: string, title: string, pattern: Workload['pattern']): Workload {
  return { name, title, pattern, inFlight: 8, blockBytes: MiB }
}
