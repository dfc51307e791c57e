"""Names of Unicode properties that gateways know, in the form in which Unicode compares them (UAX #44, LM3).

Source: PropertyValueAliases of the Unicode Character Database, version 16.
"""

from typing import Final

_CATEGORIES: Final = """
any ascii assigned c casedletter cc cf closepunctuation cn cntrl co combiningmark connectorpunctuation control
currencysymbol dashpunctuation decimalnumber digit enclosingmark finalpunctuation format initialpunctuation l lc
letter letternumber lineseparator ll lm lo lowercaseletter lt lu m mark mathsymbol mc me mn modifierletter
modifiersymbol n nd nl no nonspacingmark number openpunctuation other otherletter othernumber otherpunctuation
othersymbol p paragraphseparator pc pd pe pf pi po privateuse ps punct punctuation s sc separator sk sm so
spaceseparator spacingmark symbol titlecaseletter unassigned uppercaseletter z zl zp zs
"""
GENERAL_CATEGORIES: Final = frozenset(_CATEGORIES.split())
"""Values of General_Category and the sets that UTS #18 adds; surrogates are in no text."""

_SCRIPTS: Final = """
adlam adlm aghb ahom anatolianhieroglyphs arab arabic armenian armi armn avestan avst bali balinese bamu bamum bass
bassavah batak batk beng bengali bhaiksuki bhks bopo bopomofo brah brahmi brai braille bugi buginese buhd buhid cakm
canadianaboriginal cans cari carian caucasianalbanian chakma cham cher cherokee chorasmian chrs common copt coptic
cpmn cprt cuneiform cypriot cyprominoan cyrillic cyrl deseret deva devanagari diak divesakuru dogr dogra dsrt dupl
duployan egyp egyptianhieroglyphs elba elbasan elym elymaic ethi ethiopic gara garay geor georgian glag glagolitic
gong gonm goth gothic gran grantha greek grek gujarati gujr gukh gunjalagondi gurmukhi guru gurungkhema han hang
hangul hani hanifirohingya hano hanunoo hatr hatran hebr hebrew hira hiragana hluw hmng hmnp hung imperialaramaic
inherited inscriptionalpahlavi inscriptionalparthian ital java javanese kaithi kali kana kannada katakana kawi
kayahli khar kharoshthi khitansmallscript khmer khmr khoj khojki khudawadi kiratrai kits knda krai kthi lana lao
laoo latin latn lepc lepcha limb limbu lina linb lineara linearb lisu lyci lycian lydi lydian mahajani mahj maka
makasar malayalam mand mandaic mani manichaean marc marchen masaramgondi medefaidrin medf meeteimayek mend
mendekikakui merc mero meroiticcursive meroitichieroglyphs miao mlym modi mong mongolian mro mroo mtei mult multani
myanmar mymr nabataean nagm nagmundari nand nandinagari narb nbat newa newtailue nko nkoo nshu nushu
nyiakengpuachuehmong ogam ogham olchiki olck oldhungarian olditalic oldnortharabian oldpermic oldpersian oldsogdian
oldsoutharabian oldturkic olduyghur olonal onao oriya orkh orya osage osge osma osmanya ougr pahawhhmong palm
palmyrene pauc paucinhau perm phag phagspa phli phlp phnx phoenician plrd prti psalterpahlavi qaac qaai rejang rjng
rohg runic runr samaritan samr sarb saur saurashtra sgnw sharada shavian shaw shrd sidd siddham signwriting sind
sinh sinhala sogd sogdian sogo sora sorasompeng soyo soyombo sund sundanese sunu sunuwar sylo sylotinagri syrc
syriac tagalog tagb tagbanwa taile taitham taiviet takr takri tale talu tamil taml tang tangsa tangut tavt telu
telugu tfng tglg thaa thaana thai tibetan tibt tifinagh tirh tirhuta tnsa todhri todr toto tulutigalari tutg ugar
ugaritic vai vaii vith vithkuqi wancho wara warangciti wcho xpeo xsux yezi yezidi yi yiii zanabazarsquare zanb zinh
zyyy
"""
SCRIPTS: Final = frozenset(_SCRIPTS.split())
"""Values of Script."""
