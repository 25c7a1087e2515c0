/**
 * Waits for work that goes on in the daemon, whether anybody waits or not, and shows how far it is.
 *
 * Invariant: ctrl-C ends the waiting and nothing else; what it says then is how to go on waiting and
 * how to call the work off.
 */

import { ShoalError } from '../protocols/fault.ts'
import type { DrainStatus } from '../protocols/moves/messages.ts'
import type { Io } from './io.ts'
import { clean, durationText } from './output.ts'
import { Progress } from './progress.ts'

const LOOK_MS = 500

export interface Followed {
  readonly doneBytes: number
  readonly totalBytes: number
  readonly leftMs: number | undefined
  readonly trouble: string | undefined
}

export interface FollowOptions<T> {
  readonly title: string
  /** Asks the daemon once. */
  readonly look: () => Promise<T>
  readonly isOver: (seen: T) => boolean
  readonly describe: (seen: T) => Followed
  /** What ctrl-C says. */
  readonly whenInterrupted: string
}

/** The last state seen: the one that is over. */
export async function follow<T>(io: Io, options: FollowOptions<T>): Promise<T> {
  const progress = new Progress(io, options.title)
  let told: string | undefined
  let interrupt: () => void = () => undefined
  const interrupted = new Promise<'interrupted'>(resolve => {
    interrupt = () => resolve('interrupted')
  })
  const ignore = io.onInterrupt(interrupt)
  try {
    for (;;) {
      const seen = await options.look()
      if (options.isOver(seen)) return seen
      const { doneBytes, totalBytes, leftMs, trouble } = options.describe(seen)
      if (trouble !== undefined && trouble !== told) {
        progress.end()
        io.err(`${options.title}: ${clean(trouble)}\n`)
        told = trouble
      }
      const note = leftMs === undefined ? '' : `, ${finish(leftMs)}`
      progress.show({ doneBytes, totalBytes, dataBytes: doneBytes }, note)
      if ((await Promise.race([interrupted, sleep()])) === 'interrupted') break
    }
  } finally {
    ignore()
    progress.end()
  }
  throw new ShoalError({ code: 'CLOSED' }, options.whenInterrupted)
}

export function describeDrain(drain: DrainStatus): Followed {
  if (drain.state === 'off') {
    return { doneBytes: 0, totalBytes: 0, leftMs: undefined, trouble: undefined }
  }
  const { bytes, leftMs, trouble } = drain
  return { doneBytes: bytes.done, totalBytes: bytes.total, leftMs, trouble }
}

/** `4 min left, done at 17:42`. */
export function finish(leftMs: number): string {
  const at = new Date(Date.now() + leftMs)
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`
  const isSoon = leftMs < 12 * 3_600_000
  return `${durationText(leftMs)} left${isSoon ? `, done at ${time}` : ''}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

function sleep(): Promise<'slept'> {
  return new Promise(resolve => setTimeout(() => resolve('slept'), LOOK_MS))
}
