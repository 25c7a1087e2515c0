/**
 * One fio run against an NBD URI, and what it measured.
 *
 * fio 3.33's nbd engine sends a flush for almost every write with `fsync=32`, so the workload
 * with flushes replays a log of writes and syncs instead.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../support/process-random.ts'
import { runOk } from '../support/process-spawn.ts'

export interface Workload {
  readonly name: string
  readonly title: string
  readonly pattern: 'randread' | 'randwrite' | 'randrw' | 'read' | 'write'
  readonly blockBytes: number
  readonly inFlight: number
  /** Per cent of reads in a mix. */
  readonly readPercent?: number
  /** Writes between two flushes. */
  readonly flushEvery?: number
}

export interface Measured {
  readonly operations: number
  readonly operationsPerSecond: number
  readonly bytesPerSecond: number
}

export interface FioRun {
  readonly uri: string
  readonly scratch: string
  readonly regionBytes: number
  readonly seconds: number
  readonly seed: number
}

/** More than any server here does in a second; the log must outlast the run. */
const MAX_LOGGED_WRITES_PER_SECOND = 60_000

interface Direction {
  total_ios: number
  iops: number
  bw_bytes: number
}

interface FioReport {
  jobs: Array<{ error: number; read: Direction; write: Direction }>
}

export async function runFio(workload: Workload, run: FioRun): Promise<Measured> {
  const output = join(run.scratch, 'fio.json')
  const args = [
    `--name=${workload.name}`,
    '--ioengine=nbd',
    `--uri=${run.uri}`,
    `--bs=${workload.blockBytes}`,
    `--iodepth=${workload.inFlight}`,
    `--runtime=${run.seconds}`,
    `--randseed=${run.seed}`,
    '--output-format=json',
    `--output=${output}`,
    ...patternArgs(workload, run)
  ]
  await runOk('fio', args, { timeoutMs: run.seconds * 1000 + 60_000, cwd: run.scratch })
  return parse(readFileSync(output, 'utf8'))
}

/** Writes the whole region once, so that no read meets a hole. */
export async function fillRegion(run: FioRun): Promise<void> {
  await runOk(
    'fio',
    [
      '--name=fill',
      '--ioengine=nbd',
      `--uri=${run.uri}`,
      '--rw=write',
      '--bs=1M',
      '--iodepth=4',
      `--size=${run.regionBytes}`,
      `--randseed=${run.seed}`,
      '--refill_buffers',
      '--end_fsync=1'
    ],
    { timeoutMs: 180_000, cwd: run.scratch }
  )
}

function patternArgs(workload: Workload, run: FioRun): string[] {
  if (workload.flushEvery !== undefined) {
    const log = join(run.scratch, 'flush.iolog')
    writeFileSync(log, flushLog(workload.blockBytes, workload.flushEvery, run))
    return [`--read_iolog=${log}`]
  }
  const mix = workload.readPercent === undefined ? [] : [`--rwmixread=${workload.readPercent}`]
  return [`--rw=${workload.pattern}`, `--size=${run.regionBytes}`, '--time_based', ...mix]
}

/** fio's log format, version 2: writes at random blocks, a sync after every `flushEvery`. */
function flushLog(blockBytes: number, flushEvery: number, run: FioRun): string {
  const blocks = run.regionBytes / blockBytes
  const lines = ['fio version 2 iolog', 'disk add', 'disk open']
  const random = new SeededRandom(run.seed)
  for (let i = 1; i <= run.seconds * MAX_LOGGED_WRITES_PER_SECOND; i++) {
    lines.push(`disk write ${random.below(blocks) * blockBytes} ${blockBytes}`)
    if (i % flushEvery === 0) lines.push('disk sync 0 0')
  }
  return `${lines.join('\n')}\ndisk close\n`
}

function parse(text: string): Measured {
  // A server's complaint may stand before the report.
  const report = JSON.parse(text.slice(text.indexOf('{'))) as FioReport
  const job = report.jobs[0]
  if (job === undefined || job.error !== 0) throw new Error(`fio failed: error ${job?.error}`)
  const operations = job.read.total_ios + job.write.total_ios
  if (operations === 0) throw new Error('fio measured nothing')
  return {
    operations,
    operationsPerSecond: job.read.iops + job.write.iops,
    bytesPerSecond: job.read.bw_bytes + job.write.bw_bytes
  }
}
