//! Names for people who do not exist, with their readings, and now and then one of the characters that
//! break systems.

use super::{csv::Encoding, random::Random};

/// A family name: as it is written, as it is read, and how it is written where the first cannot be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    pub(crate) written: &'static str,
    pub(crate) read: &'static str,
    pub(crate) substitute: &'static str,
    pub(crate) glyph_profile: &'static str,
}

const FAMILIES: [(&str, &str); 40] = [
    ("佐藤", "サトウ"),
    ("鈴木", "スズキ"),
    ("高橋", "タカハシ"),
    ("田中", "タナカ"),
    ("伊藤", "イトウ"),
    ("渡辺", "ワタナベ"),
    ("山本", "ヤマモト"),
    ("中村", "ナカムラ"),
    ("小林", "コバヤシ"),
    ("加藤", "カトウ"),
    ("吉田", "ヨシダ"),
    ("山田", "ヤマダ"),
    ("佐々木", "ササキ"),
    ("山口", "ヤマグチ"),
    ("松本", "マツモト"),
    ("井上", "イノウエ"),
    ("木村", "キムラ"),
    ("林", "ハヤシ"),
    ("斎藤", "サイトウ"),
    ("清水", "シミズ"),
    ("山崎", "ヤマザキ"),
    ("森", "モリ"),
    ("池田", "イケダ"),
    ("橋本", "ハシモト"),
    ("阿部", "アベ"),
    ("石川", "イシカワ"),
    ("山下", "ヤマシタ"),
    ("中島", "ナカジマ"),
    ("石井", "イシイ"),
    ("小川", "オガワ"),
    ("前田", "マエダ"),
    ("岡田", "オカダ"),
    ("長谷川", "ハセガワ"),
    ("藤田", "フジタ"),
    ("後藤", "ゴトウ"),
    ("近藤", "コンドウ"),
    ("村上", "ムラカミ"),
    ("遠藤", "エンドウ"),
    ("青木", "アオキ"),
    ("坂本", "サカモト"),
];

const fn family(
    written: &'static str,
    read: &'static str,
    substitute: &'static str,
    glyph_profile: &'static str,
) -> Family {
    Family { written, read, substitute, glyph_profile }
}

// Characters that CP932 has: of its extensions, and of its private use (外字), whose shape only the profile
// says.
const RARE: [Family; 3] = [
    family("髙橋", "タカハシ", "高橋", ""),
    family("山﨑", "ヤマザキ", "山崎", ""),
    family("\u{e000}本", "ツジモト", "辻本", "GAIJI-SPECIMEN-1"),
];

// And those that only Unicode has: a supplementary plane, two variation sequences, private use out of
// reach.
const RARE_IN_UNICODE: [Family; 4] = [
    family("\u{20bb7}田", "ヨシダ", "吉田", ""),
    family("渡\u{9089}\u{e0101}", "ワタナベ", "渡辺", ""),
    family("葛\u{e0100}西", "カサイ", "葛西", ""),
    family("\u{f8f0}崎", "カンザキ", "神崎", "GAIJI-SPECIMEN-2"),
];

const WOMEN: [(&str, &str); 24] = [
    ("花子", "ハナコ"),
    ("陽子", "ヨウコ"),
    ("幸子", "サチコ"),
    ("和子", "カズコ"),
    ("恵子", "ケイコ"),
    ("由美子", "ユミコ"),
    ("直美", "ナオミ"),
    ("智子", "トモコ"),
    ("久美子", "クミコ"),
    ("真由美", "マユミ"),
    ("愛", "アイ"),
    ("彩", "アヤ"),
    ("美咲", "ミサキ"),
    ("さくら", "サクラ"),
    ("葵", "アオイ"),
    ("凛", "リン"),
    ("結衣", "ユイ"),
    ("千代", "チヨ"),
    ("ハル", "ハル"),
    ("文子", "フミコ"),
    ("明美", "アケミ"),
    ("裕子", "ユウコ"),
    ("麻衣", "マイ"),
    ("七海", "ナナミ"),
];

const MEN: [(&str, &str); 24] = [
    ("太郎", "タロウ"),
    ("次郎", "ジロウ"),
    ("一郎", "イチロウ"),
    ("清", "キヨシ"),
    ("誠", "マコト"),
    ("浩", "ヒロシ"),
    ("隆", "タカシ"),
    ("博", "ヒロシ"),
    ("健一", "ケンイチ"),
    ("大輔", "ダイスケ"),
    ("翔太", "ショウタ"),
    ("拓也", "タクヤ"),
    ("蓮", "レン"),
    ("大翔", "ヒロト"),
    ("悠真", "ユウマ"),
    ("湊", "ミナト"),
    ("正雄", "マサオ"),
    ("茂", "シゲル"),
    ("和夫", "カズオ"),
    ("直樹", "ナオキ"),
    ("学", "マナブ"),
    ("剛", "ツヨシ"),
    ("亮", "リョウ"),
    ("三郎", "サブロウ"),
];

/// Draws a family name, one in a hundred with a rare character that the encoding has.
pub(crate) fn family_name(random: &mut Random, encoding: Encoding) -> Family {
    let rare = random.per_mille(10);
    let unicode = random.per_mille(600);
    // Both are drawn in any case, so that the encoding changes no other choice.
    let (common, of_both, of_unicode) =
        (random.one(&FAMILIES), random.one(&RARE), random.one(&RARE_IN_UNICODE));
    match (rare, unicode && encoding != Encoding::Cp932) {
        (false, _) => family(common.0, common.1, "", ""),
        (true, true) => *of_unicode,
        (true, false) => *of_both,
    }
}

/// Draws a given name and its reading for somebody of this sex (ISO 5218).
pub(crate) fn given_name(random: &mut Random, sex: &str) -> (&'static str, &'static str) {
    *random.one(if sex == "2" { &WOMEN } else { &MEN })
}
