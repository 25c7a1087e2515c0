/**
 * A node's data directory: one daemon at a time, on the machine and in the place where it was made.
 *
 *   DIR/lock      held with flock while a daemon runs; names its pid, for people
 *   DIR/binding   which machine and which inode this directory belongs to
 *
 * A copied or restored directory would answer with acknowledged writes missing, under an identity
 * that others trust. A copy has another inode, another host has another machine id: both are
 * refused until the operator says that the original is gone for good (`rebind`).
 */
import { createHash } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  writeSync
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import koffi from 'koffi'
import { ShoalError } from '../protocols/fault.ts'

const LOCK_EXCLUSIVE_NOW = 2 | 4
const MACHINE_ID_FILES = ['/etc/machine-id', '/var/lib/dbus/machine-id']

export interface DataDirectory {
  readonly path: string
  /** Lets another daemon have it. */
  release: () => void
}

/**
 * Locks `path` for this process and checks that it is where it belongs.
 * Throws ShoalError DATA_DIR: absent, not-writable, in-use, copied.
 */
export function openDataDirectory(path: string, options: { rebind: boolean }): DataDirectory {
  checkWritable(path)
  const lock = openSync(join(path, 'lock'), 'a+', 0o600)
  try {
    takeLock(path, lock)
    if (options.rebind) writeBinding(path)
    else checkBinding(path)
  } catch (error) {
    closeSync(lock)
    throw error
  }
  return { path, release: () => closeSync(lock) }
}

/** Ties a new data directory to this machine and place; `init` and `join` call it once. */
export function bindDataDirectory(path: string): void {
  checkWritable(path)
  writeBinding(path)
}

function checkWritable(path: string): void {
  if (!existsSync(path)) {
    throw problem(path, 'absent', 'there is no such directory: run `shoal init` or `shoal join`')
  }
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw problem(path, 'not-writable', 'this user may not write there: change its owner', cause)
  }
}

function takeLock(path: string, lock: number): void {
  const flock = koffi.load('libc.so.6').func('int flock(int, int)')
  if (flock(lock, LOCK_EXCLUSIVE_NOW) !== 0) {
    const pid = readFileSync(join(path, 'lock'), 'utf8').trim()
    throw problem(path, 'in-use', `another daemon (pid ${pid || 'unknown'}) runs on it`)
  }
  ftruncateSync(lock)
  writeSync(lock, `${process.pid}\n`)
}

function writeBinding(path: string): void {
  const file = openSync(join(path, 'binding'), 'w', 0o600)
  try {
    const inode = statSync(join(path, 'binding'), { bigint: true }).ino.toString()
    writeSync(file, `${JSON.stringify({ format: 1, machine: machineMark(), inode })}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function checkBinding(path: string): void {
  const file = join(path, 'binding')
  if (!existsSync(file)) {
    throw problem(path, 'absent', 'no node was made there: run `shoal init` or `shoal join`')
  }
  const [machine, inode] = readBinding(path, file)
  const isHere = inode === statSync(file, { bigint: true }).ino.toString()
  if (machine === machineMark() && isHere) return
  const where = isHere ? 'it was made on another machine' : 'it is a copy of another directory'
  throw problem(
    path,
    'copied',
    `${where}. Two nodes with one identity would lose data. If the original is gone for good and ` +
      'this holds its newest state, start once with `shoal up --rebind`'
  )
}

function readBinding(path: string, file: string): [machine: unknown, inode: unknown] {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    if (found.format === 1) return [found.machine, found.inode]
  } catch (cause) {
    throw problem(path, 'damaged', 'its file `binding` cannot be read', cause)
  }
  throw problem(path, 'format', 'its file `binding` was written by a newer Shoal: update this one')
}

/** Identifies the machine without publishing its id. */
function machineMark(): string {
  const file = MACHINE_ID_FILES.find(name => existsSync(name))
  const id = file === undefined ? '' : readFileSync(file, 'utf8').trim()
  return createHash('sha256')
    .update(`shoal ${id === '' ? hostname() : id}`)
    .digest('hex')
}

type Problem = 'absent' | 'not-writable' | 'in-use' | 'copied' | 'damaged' | 'format'

function problem(dir: string, what: Problem, words: string, cause?: unknown): ShoalError {
  return new ShoalError({ code: 'DATA_DIR', dir, problem: what }, `${dir}: ${words}`, { cause })
}
