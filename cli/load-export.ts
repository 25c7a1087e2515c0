/**
 * Where an exported CSV goes: to stdout, or to a file that is complete or not there at all.
 *
 * Invariant: the file's name is given only to what has been synced; on the way it is FILE.partial,
 * which goes if anything goes wrong or somebody presses ctrl-C.
 */
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { messageOf, ShoalError } from '../protocols/fault.ts'
import type { Io } from './io.ts'
import { badOption } from './options.ts'
import { Progress } from './progress.ts'

const NEW_LINE = 0x0a

export interface Saved {
  readonly path: string
  /** Without the header. */
  readonly rows: number
  readonly bytes: number
}

/** Begins the download, which the signal ends. */
export type Read = (signal: AbortSignal) => AsyncIterable<Buffer>

/** Whole lines, no faster than their reader takes them. */
export async function copyOut(io: Io, read: Read): Promise<void> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const bytes of read(new AbortController().signal)) {
    const text = Buffer.concat([rest, bytes])
    const end = text.lastIndexOf(NEW_LINE)
    if (end >= 0) io.out(text.toString('utf8', 0, end))
    rest = text.subarray(end + 1)
    await io.drained?.()
  }
  if (rest.length > 0) io.out(rest.toString('utf8'))
}

export async function saveAs(io: Io, out: string, read: Read): Promise<Saved> {
  const path = resolve(out)
  const partial = `${path}.partial`
  await checkReplaceable(path)
  const interrupt = new AbortController()
  const file = await open(partial, 'w').catch(error => {
    throw fileFault(path, error)
  })
  const ignore = io.onInterrupt(() => interrupt.abort())
  try {
    const saved = { path, ...(await fill(io, file, read(interrupt.signal))) }
    await file.close()
    await rename(partial, path)
    const directory = await open(dirname(path), 'r')
    await directory.sync().finally(() => directory.close())
    return saved
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(partial, { force: true })
    if (interrupt.signal.aborted) {
      throw new ShoalError({ code: 'CLOSED' }, `the export was given up: no ${path}`)
    }
    throw isSystemError(error) ? fileFault(path, error) : error
  } finally {
    ignore()
  }
}

/** Writes and syncs all of it. */
async function fill(
  io: Io,
  file: FileHandle,
  csv: AsyncIterable<Buffer>
): Promise<Omit<Saved, 'path'>> {
  const progress = new Progress(io, 'export')
  let bytes = 0
  let lines = 0
  try {
    for await (const part of csv) {
      await file.writeFile(part)
      bytes += part.length
      lines += countLines(part)
      progress.show({ doneBytes: bytes, totalBytes: undefined, dataBytes: bytes })
    }
    await file.sync()
  } finally {
    progress.end()
  }
  return { rows: Math.max(0, lines - 1), bytes }
}

function countLines(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(NEW_LINE); at >= 0; at = bytes.indexOf(NEW_LINE, at + 1)) count++
  return count
}

async function checkReplaceable(path: string): Promise<void> {
  const info = await stat(path).catch(() => undefined)
  if (info === undefined || info.isFile()) return
  throw badOption('out', `${path} is no regular file: name another with --out`)
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error
}

function fileFault(path: string, cause: unknown): ShoalError {
  const message = `cannot write ${path}: ${messageOf(cause)}`
  return new ShoalError({ code: 'BAD_INPUT', field: 'out' }, message, { cause })
}
