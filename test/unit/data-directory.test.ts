// Goal: a data directory serves one daemon, in the place where it was made.
// Method: real directories: lock twice, copy, damage, take away the rights.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { bindDataDirectory, openDataDirectory } from '../../node/data-directory.ts'

const made: string[] = []

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'shoal-dir-'))
  made.push(path)
  return path
}

function problemOf(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return (error as { fault?: { problem?: unknown } }).fault?.problem
  }
  return 'none'
}

afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
})

describe('a data directory', () => {
  it('opens where it was bound, again and again', () => {
    const path = directory()
    bindDataDirectory(path)
    openDataDirectory(path, { rebind: false }).release()
    openDataDirectory(path, { rebind: false }).release()
  })

  it('refuses a second daemon while the first runs, and names its pid', () => {
    const path = directory()
    bindDataDirectory(path)
    const first = openDataDirectory(path, { rebind: false })
    expect(() => openDataDirectory(path, { rebind: false })).toThrow(String(process.pid))
    expect(problemOf(() => openDataDirectory(path, { rebind: false }))).toBe('in-use')
    first.release()
    openDataDirectory(path, { rebind: false }).release()
  })

  it('refuses a copy until the operator rebinds it', () => {
    const path = directory()
    bindDataDirectory(path)
    const copy = `${path}-copy`
    made.push(copy)
    cpSync(path, copy, { recursive: true })
    expect(problemOf(() => openDataDirectory(copy, { rebind: false }))).toBe('copied')
    openDataDirectory(copy, { rebind: true }).release()
    openDataDirectory(copy, { rebind: false }).release()
    openDataDirectory(path, { rebind: false }).release()
  })

  it('says what is wrong with a directory that is absent, unbound or damaged', () => {
    const path = directory()
    expect(problemOf(() => openDataDirectory(join(path, 'no'), { rebind: false }))).toBe('absent')
    expect(problemOf(() => openDataDirectory(path, { rebind: false }))).toBe('absent')
    writeFileSync(join(path, 'binding'), '{"for')
    expect(problemOf(() => openDataDirectory(path, { rebind: false }))).toBe('damaged')
    writeFileSync(join(path, 'binding'), '{"format":9}')
    expect(problemOf(() => openDataDirectory(path, { rebind: false }))).toBe('format')
  })
})
