/**
 * Raw images outside the mesh: files of the operator's choice, and streams.
 *
 * Invariants: an image under construction has another name until it is whole and durable, so that
 * nobody takes a half for the whole; it is given away to nobody else to read.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import { TRANSFER_PIECE_BYTES } from '../limits.ts'

/** What an import reads: consecutive pieces, each fresh memory of at most TRANSFER_PIECE_BYTES. */
export interface ImageSource {
  /** Undefined while the length of a stream is not known. */
  readonly sizeBytes: number | undefined
  readonly pieces: () => AsyncIterable<Uint8Array>
  readonly close: () => Promise<void>
}

export async function openImageSource(path: string): Promise<ImageSource> {
  checkAbsolute(path)
  let file: FileHandle
  let sizeBytes: number
  try {
    file = await open(path, 'r')
    sizeBytes = await lengthOf(file)
  } catch (error) {
    throw fileProblem(path, 'read', error)
  }
  return { sizeBytes, pieces: () => piecesOf(file, path, sizeBytes), close: () => file.close() }
}

/** Bytes of a regular file; nothing else can be read twice or measured. */
async function lengthOf(file: FileHandle): Promise<number> {
  const info = await file.stat()
  if (info.isFile()) return info.size
  await file.close()
  throw new Error(info.isDirectory() ? 'it is a directory' : 'it is no regular file')
}

async function* piecesOf(
  file: FileHandle,
  path: string,
  sizeBytes: number
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < sizeBytes; ) {
    const piece = Buffer.alloc(Math.min(TRANSFER_PIECE_BYTES, sizeBytes - at))
    const { bytesRead } = await file.read(piece, 0, piece.length, at).catch(error => {
      throw fileProblem(path, 'read', error)
    })
    if (bytesRead === 0) throw fileProblem(path, 'read', new Error('it became shorter meanwhile'))
    yield piece.subarray(0, bytesRead)
    at += bytesRead
  }
}

/** A stream of bytes in pieces of any length, gathered to pieces of TRANSFER_PIECE_BYTES. */
export function streamSource(
  bytes: AsyncIterable<Uint8Array>,
  sizeBytes: number | undefined
): ImageSource {
  return { sizeBytes, pieces: () => gather(bytes), close: async () => undefined }
}

async function* gather(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let piece = Buffer.allocUnsafe(TRANSFER_PIECE_BYTES)
  let filled = 0
  for await (const part of bytes) {
    for (let at = 0; at < part.length; ) {
      const taken = Math.min(part.length - at, piece.length - filled)
      piece.set(part.subarray(at, at + taken), filled)
      filled += taken
      at += taken
      if (filled < piece.length) continue
      yield piece
      piece = Buffer.allocUnsafe(TRANSFER_PIECE_BYTES)
      filled = 0
    }
  }
  if (filled > 0) yield piece.subarray(0, filled)
}

/** What an export writes. */
export interface ImageTarget {
  readonly write: (bytes: readonly Uint8Array[], position: number) => Promise<void>
  /** Sets the length, makes all durable, and gives the image its name. */
  readonly finish: (sizeBytes: number) => Promise<void>
  /** Removes what there is of an image that was not finished. */
  readonly abandon: () => Promise<void>
}

/** `tag` makes the temporary name unique. An existing regular file is replaced at the end. */
export async function createImageTarget(path: string, tag: string): Promise<ImageTarget> {
  checkAbsolute(path)
  await checkReplaceable(path)
  const temporary = join(dirname(path), `.${basename(path).slice(0, 200)}.${tag}.part`)
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
  const file = await open(temporary, flags, 0o600).catch(error => {
    throw fileProblem(path, 'write', error)
  })
  const asFault = (error: unknown) => {
    throw fileProblem(path, 'write', error)
  }
  return {
    write: (bytes, position) => writeAll(file, bytes, position).catch(asFault),
    finish: sizeBytes => finish(file, { temporary, path, sizeBytes }).catch(asFault),
    abandon: async () => {
      await file.close().catch(() => undefined)
      await rm(temporary, { force: true })
    }
  }
}

async function writeAll(
  file: FileHandle,
  bytes: readonly Uint8Array[],
  position: number
): Promise<void> {
  let at = position
  for (const part of bytes) {
    for (let done = 0; done < part.length; ) {
      const { bytesWritten } = await file.write(part, done, part.length - done, at + done)
      done += bytesWritten
    }
    at += part.length
  }
}

async function finish(
  file: FileHandle,
  names: { temporary: string; path: string; sizeBytes: number }
): Promise<void> {
  await file.truncate(names.sizeBytes)
  await file.sync()
  await file.close()
  await rename(names.temporary, names.path)
  const directory = await open(dirname(names.path), 'r')
  await directory.sync().finally(() => directory.close())
}

async function checkReplaceable(path: string): Promise<void> {
  const info = await stat(path).catch(() => undefined)
  if (info === undefined || info.isFile()) return
  const what = info.isDirectory() ? 'a directory' : 'no regular file'
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'path' },
    `${path} is ${what}: name a file to export to`
  )
}

function checkAbsolute(path: string): void {
  if (isAbsolute(path) && !path.includes('\0')) return
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'path' },
    'the path of an image must be absolute: the daemon may have another working directory'
  )
}

function fileProblem(path: string, verb: 'read' | 'write', cause: unknown): ShoalError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const message = `the daemon cannot ${verb} ${path}: ${messageOf(cause)}`
  if (code === 'ENOSPC') return new ShoalError({ code: 'NO_SPACE' }, message, { cause })
  if (code === 'ENOENT')
    return new ShoalError({ code: 'NOT_FOUND', what: path }, message, { cause })
  return new ShoalError({ code: 'IO_ERROR' }, message, { cause })
}
