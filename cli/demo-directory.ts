/**
 * Where a demo keeps its files: a new temporary directory, or one that was asked for.
 *
 *   DIR/demo.json    marks the directory as a demo's; the ports of the nodes, for the next start
 *   DIR/NAME         data directory of a node          DIR/NAME.log   what it logged
 *
 * Invariant: nothing is ever deleted in a directory that is not marked, or was not made here.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { ShoalError } from '../protocols/fault.ts'

/** Room for the longest name of a socket below the directory. */
const MAX_DIR_BYTES = 90
const MARK = 'demo.json'

export interface DemoDirectory {
  readonly path: string
  /** Ports of the nodes when they last ran; undefined if the mesh is yet to be made. */
  readonly ports: Readonly<Record<string, number>> | undefined
  /** Notes that the mesh is complete, and where its nodes listen. */
  readonly save: (ports: Readonly<Record<string, number>>) => void
  /** Deletes everything that the demo made. */
  readonly remove: () => void
}

interface Mark {
  readonly ports?: Readonly<Record<string, number>>
}

/** Throws ShoalError DATA_DIR for a directory that is somebody else's. */
export function openDemoDirectory(asked: string | undefined): DemoDirectory {
  const path = asked === undefined ? mkdtempSync(join(tmpdir(), 'shoal-demo-')) : resolve(asked)
  if (Buffer.byteLength(path) > MAX_DIR_BYTES) {
    throw problem(path, 'format', `is too long for unix sockets: at most ${MAX_DIR_BYTES} bytes`)
  }
  const mark = asked === undefined ? undefined : readMark(path)
  if (mark?.ports === undefined) makeFresh(path)
  return {
    path,
    ports: mark?.ports,
    save: ports => writeMark(path, { ports }),
    remove: () => rmSync(path, { recursive: true, force: true })
  }
}

/** The mark of an earlier demo; undefined for a directory that is empty or not there. */
function readMark(path: string): Mark | undefined {
  try {
    if (!existsSync(path) || readdirSync(path).length === 0) return undefined
    if (!existsSync(join(path, MARK))) {
      throw problem(path, 'not-empty', 'is not empty and no demo of before: name another')
    }
    return JSON.parse(readFileSync(join(path, MARK), 'utf8')) as Mark
  } catch (error) {
    if (error instanceof ShoalError) throw error
    throw problem(path, 'damaged', 'cannot be read as the directory of a demo', error)
  }
}

/** A demo that was cut off before its mesh was complete begins anew. */
function makeFresh(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    for (const entry of readdirSync(path)) rmSync(join(path, entry), { recursive: true })
    writeMark(path, {})
  } catch (error) {
    throw problem(path, 'not-writable', 'cannot be written', error)
  }
}

function writeMark(path: string, mark: Mark): void {
  writeFileSync(join(path, MARK), `${JSON.stringify(mark)}\n`)
}

function problem(
  dir: string,
  what: 'not-empty' | 'not-writable' | 'damaged' | 'format',
  words: string,
  cause?: unknown
): ShoalError {
  return new ShoalError({ code: 'DATA_DIR', dir, problem: what }, `${dir} ${words}`, { cause })
}
