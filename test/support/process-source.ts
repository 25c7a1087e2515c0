/** The project's sources as the tests of its shape see them: modules, imports, bare code. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

export interface Module {
  /** Relative to the repository, with forward slashes. */
  readonly path: string
  readonly text: string
  /** The text without comments and without what stands inside strings and regular expressions. */
  readonly code: string
  readonly imports: readonly Import[]
}

export interface Import {
  /** A repository path for our own modules, else the specifier as written. */
  readonly target: string
  readonly own: boolean
  readonly typeOnly: boolean
  /** The names between braces, as the module exports them. */
  readonly names: readonly string[]
}

export function readModules(root: string, folders: readonly string[]): Module[] {
  return folders.flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(name => /\.(ts|mjs)$/.test(name))
      .sort()
      .map(name => readModule(root, `${folder}/${name}`))
  )
}

function readModule(root: string, path: string): Module {
  const text = readFileSync(join(root, path), 'utf8')
  return { path, text, code: bareCode(text), imports: importsOf(path, text) }
}

function importsOf(path: string, text: string): Import[] {
  const statement =
    /^(?:import|export)\s+(type\s)?(?:([^'"`;]*?)\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm
  return [...text.matchAll(statement)].map(([, type, clause, fixed, dynamic]) => {
    const specifier = fixed ?? dynamic ?? ''
    const own = specifier.startsWith('.')
    const target = own ? normalize(join(dirname(path), specifier)) : specifier
    const names = [...(clause ?? '').matchAll(/[{,]\s*(?:type\s+)?([\w$]+)/g)].map(m => m[1] ?? '')
    return { target, own, typeOnly: type !== undefined, names }
  })
}

/** Blanks comments and the insides of strings, templates' texts and regular expressions. */
export function bareCode(text: string): string {
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<=[(,=:[!&|?{};\n]\s*|return\s+)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g
  return text.replace(token, found => {
    if (found.startsWith('`')) return templateCode(found)
    return found.replace(/[^\n]/g, ' ')
  })
}

/** Of a template only what stands in `${ }` is code. */
function templateCode(template: string): string {
  return [...template.matchAll(/\$\{([^}]*)\}/g)].map(([, code]) => ` ${code} `).join(' ')
}
