/**
 * Whether the store can go on. A failed sync ends it: the kernel may have dropped the pages and
 * forgotten, so a second sync that succeeds proves nothing. The first failure wins and stays.
 */
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { Log } from '../ports.ts'

export class Health {
  failure: Error | undefined
  readonly #log: Log
  readonly #listeners: Array<(error: Error) => void> = []

  constructor(log: Log) {
    this.#log = log
  }

  onFailure(listener: (error: Error) => void): void {
    this.#listeners.push(listener)
    if (this.failure !== undefined) listener(this.failure)
  }

  /** Ends the store. */
  fail(cause: unknown, during: string): ShoalError {
    if (this.failure === undefined) {
      this.failure = ioError(`the store stopped: ${during} failed: ${messageOf(cause)}`, cause)
      this.#log.error({ during, error: messageOf(cause) }, 'the store stopped')
      for (const listener of this.#listeners) listener(this.failure)
    }
    return this.rejection()
  }

  /** What everything answers after the failure. */
  rejection(): ShoalError {
    return ioError(this.failure?.message ?? 'the store is closed', this.failure)
  }

  /** Passes a sync on; its failure ends the store. */
  async sync(syncing: Promise<void>): Promise<void> {
    try {
      await syncing
    } catch (error) {
      throw this.fail(error, 'a sync to disk')
    }
    if (this.failure !== undefined) throw this.rejection()
  }
}

export function ioError(message: string, cause?: unknown): ShoalError {
  return new ShoalError({ code: 'IO_ERROR' }, message, { cause })
}

export function noSpace(message: string): ShoalError {
  return new ShoalError({ code: 'NO_SPACE' }, message)
}

export function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT'
}

export function isPresent(error: unknown): boolean {
  return codeOf(error) === 'EEXIST'
}

export function isDiskFull(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
