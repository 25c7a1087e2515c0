/**
 * CPU of a daemon by its threads. The keeper of load lowers its own priority, which no other thread
 * of a daemon does: that is how it is told from them.
 */
import { readdirSync, readFileSync } from 'node:fs'

const TICK_MS = 10
/** Fields of /proc/PID/task/TID/stat after the name, from 0. */
const USER_TICKS = 11
const SYSTEM_TICKS = 12
const NICE = 16

export interface ThreadCpu {
  readonly keeperMs: number
  readonly mainMs: number
  /** Of all threads: the rest are those of the runtime, which collect garbage and do file I/O. */
  readonly allMs: number
}

export function threadCpu(pid: number): ThreadCpu {
  let keeperMs = 0
  let mainMs = 0
  let allMs = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ms = (Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS])) * TICK_MS
    allMs += ms
    if (Number(fields[NICE]) > 0) keeperMs += ms
    if (Number(thread) === pid) mainMs += ms
  }
  return { keeperMs, mainMs, allMs }
}

export function residentBytes(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}
