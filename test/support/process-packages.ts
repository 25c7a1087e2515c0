/**
 * Which outside tools the end-to-end tests use, and which Debian package brings each. A test that
 * lacks one is left out by name (process-tools.ts); test/run.mjs prints the one line that
 * installs what is missing. Nothing here installs anything.
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const PACKAGE_OF_TOOL = {
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  nbdkit: 'nbdkit',
  fio: 'fio',
  certtool: 'gnutls-bin',
  'mkfs.ext4': 'e2fsprogs',
  mount: 'mount',
  eatmydata: 'eatmydata'
} as const

/** A program on the PATH, or the right to mount and to change owners. */
export type Need = keyof typeof PACKAGE_OF_TOOL | 'root'

/** Looked up beside PATH, because a plain user's PATH often lacks them. */
const ADMIN_DIRECTORIES = ['/usr/sbin', '/sbin']

export function missing(needs: readonly Need[]): Need[] {
  return needs.filter(need => (need === 'root' ? !isRoot() : findTool(need) === undefined))
}

/** The Debian packages that bring these tools, each once. */
export function packagesOf(needs: readonly Need[]): string[] {
  const names = needs.flatMap(need => (need === 'root' ? [] : [PACKAGE_OF_TOOL[need]]))
  return [...new Set(names)].sort()
}

/** Every package that some test may ask for: what CI installs. */
export function everyPackage(): string[] {
  return [...new Set<string>(Object.values(PACKAGE_OF_TOOL))].sort()
}

export function isNeed(text: string): text is Need {
  return text === 'root' || Object.hasOwn(PACKAGE_OF_TOOL, text)
}

export function findTool(name: string): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...ADMIN_DIRECTORIES]
  return directories.map(directory => join(directory, name)).find(isExecutable)
}

function isRoot(): boolean {
  return process.geteuid?.() === 0
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
